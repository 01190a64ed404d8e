// SPDX-License-Identifier: Apache-2.0

// Package shop holds what the four sample programs share and that needs no
// Dubbo: members, prices, the order store, reading the configuration.
package shop
