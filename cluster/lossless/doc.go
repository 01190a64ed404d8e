// SPDX-License-Identifier: Apache-2.0

// Package lossless is the cluster invoker: it gets an endpoint for a call, sends
// it, sends what was never executed to another endpoint, and keeps failing
// endpoints out for a while.
//
// A call that no handler ran (refused by a leaving provider, or not even sent)
// is rerouted, also with `retries: 0`: at most three times, each endpoint once,
// within the call's deadline. A call whose outcome is unknown (timeout, broken
// connection) is returned, unless its method is listed as idempotent. dubbo-go's
// failover repeats both alike, so that with retries an order is placed twice and
// without them every restart costs calls.
//
// Route and pick are one atomic load of an immutable snapshot. It is built anew,
// off the call path, when the list or the state of an endpoint changes.
//
// Importing the package registers the cluster [Name]. All types are safe for
// concurrent use.
package lossless
