// SPDX-License-Identifier: Apache-2.0

// Package endpoint holds what a caller knows of the processes that it can call.
//
// An [Instance] is one incarnation (one process start) at one address. Closing,
// outlier, age and the caller's ledger belong to it, so they are shared by all
// services and references of this process through one [Table]. An [Endpoint] is
// an instance for one service, with its invoker. A [Pool] is an immutable list
// of endpoints from which one is drawn by weight and age.
//
// The package knows nothing of rules, of the wire or of registries. dubbo-go
// keeps the like per directory and by address alone, so that a process that
// restarts on its address is taken for the one that left.
//
// All types are safe for concurrent use. State is read by atomic loads; no
// method that a call needs takes a lock, allocates or reads a clock for an
// endpoint that is warm.
package endpoint

import "errors"

// ErrNoEndpoint reports that no endpoint may serve a call: none is registered,
// none carries the wanted tag, or all of them left. The caller's choices are to
// wait for the registry, to drop the tag, or to give up; sending again at once
// is of no use. Errors that wrap it name the service, the tag and the reason.
var ErrNoEndpoint = errors.New("no endpoint")

// Source is a list of endpoints that changes: a directory.
type Source interface {
	// Endpoints returns the present generation, which nobody changes any more.
	Endpoints() []*Endpoint
	// Watch has fn called after each change of the list until cancel is called.
	// fn must not block.
	Watch(fn func()) (cancel func())
}
