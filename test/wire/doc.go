// SPDX-License-Identifier: Apache-2.0

// Package wire tests cluster/lossless against real peers: dubbo-go's servers and
// clients on loopback, over Triple and dubbo, by generated code and by reflection, and
// servers that fail at a chosen point of a call.
package wire
