// SPDX-License-Identifier: Apache-2.0

// Package bench measures what Graylane costs: per call, per choice of an
// endpoint, and per push of a registry.
//
// BenchmarkCall is a whole call of a real dubbo-go client without a network: a
// fake registry notifies n providers, a fake Triple protocol answers at once.
// Extensions of dubbo-go are process-wide, so each variant runs in a process of
// its own: the test binary starts itself once a variant and round, and
// -count is the number of rounds. The variants take turns, so that a machine
// that gets slower for a while slows all of them.
//
//	go test -run '^$' -bench . -benchmem -count 10 ./test/bench >new.txt
//	benchstat -col /variant -filter '.name:Call' new.txt
//
// The other benchmarks are ordinary ones. docs/benchmarks.md has a report.
package bench
