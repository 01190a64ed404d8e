// SPDX-License-Identifier: Apache-2.0

// Package ingress colours HTTP requests: it is where a request gets its tag, and
// where tags that strangers sent get lost.
//
// [New] makes a net/http middleware of a [Config]. It removes tags from what
// comes in (the headers dubbo.tag, dubbo.force.tag, graylane-*, and the baggage
// member dubbo.tag), gives the request the tag of the first rule that matches,
// and puts it into the request's context. Calls that the handler makes with that
// context carry it; see filter/propagate. Default: no rules, no tag, nobody
// trusted.
//
// It also makes those calls ask for their way, which [LanePath] returns.
//
// dubbo-go has no such part: there the attachment dubbo.tag is set by hand
// before each call.
//
// The middleware is safe for concurrent use; it takes no lock and logs nothing.
package ingress
