// SPDX-License-Identifier: Apache-2.0

// Package shutdown is the provider filter that lets an instance leave without a
// lost request: it counts calls by caller, marks answers once the instance is
// leaving, and refuses late calls with an error that says "not executed".
//
// A [Gate] is what all filters of a process share. It is serving, then closing
// (all calls are served, answers carry graylane-state), then refusing (callers
// that said they can reroute are refused, all others are still served). Nothing
// here decides when to move on: registry/lifecycle does, from [Gate.Snapshot].
//
// Who calls is known from the attachment graylane-caller,
// "<caller id>;<incarnation addressed>", believed only if the incarnation is this
// process's own, since a plain hop may pass the key on. Any other caller counts
// under its address without port (dubbo) or its application name (tri, which
// shows filters no address; Dubbo Java sends one), else as "unknown"; it cannot
// reroute and is never refused.
//
// A mark travels as result attachment: over Triple it reaches the caller in the
// trailer of a success and in the metadata of an error; over the dubbo protocol
// only with a success whose attachments carry a protocol version that knows
// answer attachments (2.0.2). A refusal is, over Triple, CodeUnavailable with
// graylane-refused in the error's metadata; over the dubbo protocol a
// hessian2.GenericException of class graylane.NotExecuted.
//
// The difference from dubbo-go's pshutdown: that one counts calls of all callers
// together, marks dubbo answers only, adds to a map that the handler may be
// reading, and by default refuses with an empty success.
//
// Importing the package registers the filter under [Name]; nothing else happens:
// no goroutine, no log line. All types are safe for concurrent use. While
// serving, a call costs two map lookups and a few atomic operations, reads the
// clock once and allocates nothing.
package shutdown
