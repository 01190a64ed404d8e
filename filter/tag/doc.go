// SPDX-License-Identifier: Apache-2.0

// Package tag holds the value that picks a lane: what it may look like, where
// it lives in a context, and under which keys it crosses a process border.
//
// A [Tag] is what dubbo-go and Dubbo Java call the attachment dubbo.tag. It may
// have levels, "a|b|c", of which [Tag.Parent] is the next shorter one. The zero
// Tag means the baseline.
//
// What a peer sends is taken for hostile: a value that [Parse] refuses means no
// tag. It is counted (see [Stats]), logged once per process, and never fails a
// call.
//
// dubbo-go itself has no such type: there the tag is whatever sits in the
// attachments, string or list, of any length.
//
// The package imports the standard library and the OpenTelemetry API only. All
// of it is safe for concurrent use. [FromContext] and [FromWire] take no lock
// and do not allocate unless a baggage value is percent-encoded.
package tag
