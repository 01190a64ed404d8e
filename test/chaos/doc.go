// SPDX-License-Identifier: Apache-2.0

// Package chaos holds the tests that let providers die in every way there is,
// under load, and count what is lost.
//
// A cell is one protocol (tri, dubbo), one level (interface, application) and
// one real registry (Nacos, ZooKeeper, etcd). In it three providers and two
// consumers run, each a process of its own: the test binary itself, told by an
// environment variable what to be. The consumers send 400 calls a second
// together, open-loop, without retries. Every execution and every call is a line
// on a pipe, written when it happens, so that what a killed process did is known
// to the last line; the list of executions has no key, so that a duplicate shows.
//
// `go test ./test/chaos` runs two cells with less load and judges counts alone, for
// it runs beside other tests. `-matrix` runs all twelve and looks at the clock, too;
// `-events all` every event instead of the two that a run has by default; `-plain`
// plain dubbo-go (GRAYLANE_MODE=off), whose rows are not judged. `-report file`
// writes the table.
//
// `-soak 30m` lets random events happen to one fleet, see docs/soak.md.
package chaos
