// SPDX-License-Identifier: Apache-2.0

//go:build !race

package wire

const racing = false
