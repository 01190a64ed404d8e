// SPDX-License-Identifier: Apache-2.0

// Package mixed tests fleets in which some processes run Graylane and others plain
// dubbo-go, as during a migration. Mode off is process-wide, so that each provider
// and each caller is a process: the test binary itself, told what to be.
package mixed
