// SPDX-License-Identifier: Apache-2.0

// Package shopv1 is the shop's API, generated from shop.proto by `make generate`.
package shopv1
