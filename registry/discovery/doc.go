// SPDX-License-Identifier: Apache-2.0

// Package discovery is the consumer's side of the registries: it turns their
// events into endpoints.
//
// [Refer] makes a [Directory] for a reference. Every provider URL is repaired
// first: tag, weight and start time come from the instance's own metadata, on
// the first load and on every push, at interface and at application level. A
// process that restarts on its address is a new endpoint at once; an endpoint
// that leaves is destroyed when its last call has returned. Connections are made
// off every lock that a push or a call needs.
//
// dubbo-go's own directory keeps a closed address out for 30 s whoever listens
// there, loses the tag on Nacos with the first push, destroys an endpoint under
// the calls in flight, and believes an empty list at once.
package discovery
