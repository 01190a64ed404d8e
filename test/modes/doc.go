// SPDX-License-Identifier: Apache-2.0

// Package modes tests what of Graylane still applies with each cluster mode,
// registry layout and kind of reference: the table in docs/modes.md, cell by
// cell. Its providers are scripted and its registries are in the process; a real
// client of dubbo-go calls. Where headers on the wire decide, real servers do.
package modes
