// SPDX-License-Identifier: Apache-2.0

package shop

// `make generate` runs this. It needs Go and nothing else: the proto compiler
// and protoc-gen-go are modules pinned in go.mod.
//
//go:generate go run ./gen shopv1/shop.proto
