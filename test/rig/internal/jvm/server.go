// SPDX-License-Identifier: Apache-2.0

package jvm

import (
	"errors"
	"os"
	"strings"
)

// ErrDied reports a server that ended while it was awaited.
var ErrDied = errors.New("died at start")

// Tail returns the last n lines of a file, or why it cannot be read.
func Tail(path string, n int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
