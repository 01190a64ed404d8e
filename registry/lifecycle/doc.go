// SPDX-License-Identifier: Apache-2.0

// Package lifecycle brings a provider in and takes it out without losing a call.
//
// In: it stands between dubbo-go's protocol "registry" and the real registries
// ([Export]), publishes when the instance became ready ([Incarnation], StartTime,
// WarmupTime, tag, weight), registers when it may (delay, [Register], checks,
// hooks, retry), looks itself up as a caller would, and then says to dubbo-go's
// readiness probe that it is ready. docs/start.md.
//
// Out: [UnregisterRegistries] is the second step of every
// graceful_shutdown.Shutdown, and the whole drain runs inside it, once, whoever
// asks for it: a signal, [Shutdown], a program's own call. All who ask join the
// one run. docs/shutdown.md describes its steps.
//
// The difference from dubbo-go: its shutdown deregisters from one of several
// registries of a type, ends as a crash when a registry is down, waits fixed times
// instead of for calls, and stops Triple servers under running calls.
//
// Time is the process's monotonic clock. All functions are safe for concurrent
// use. Importing the package registers a registry under [RegistryName] and serves
// dubbo-go's Triple health service; nothing else happens before the first call.
package lifecycle
