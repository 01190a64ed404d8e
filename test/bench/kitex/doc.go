// SPDX-License-Identifier: Apache-2.0

// Package kitex measures Graylane's choice of an endpoint beside that of Kitex,
// whose balancers are the quickest of the Go frameworks.
//
// It is a module of its own, so that nothing of Kitex gets into the one that
// users import. Run it by `make bench`, or here:
//
//	go test -bench . -count 10 >kitex.txt
//	benchstat -col /side kitex.txt
package kitex
