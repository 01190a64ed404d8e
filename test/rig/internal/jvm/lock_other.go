// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package jvm

// No file lock here: two processes that start cold may both run Maven.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
