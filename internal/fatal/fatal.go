// SPDX-License-Identifier: Apache-2.0

// Package fatal ends a start that cannot succeed.
package fatal

import (
	"fmt"
	"os"
	"strings"
)

// Exit writes the error as one line on stderr and ends the process with 1.
func Exit(err error) {
	fmt.Fprintln(os.Stderr, Line(err))
	os.Exit(1)
}

// Line returns what Exit writes: the error in one line, with our name before it
// unless it has it.
func Line(err error) string {
	parts := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	return "graylane: " + strings.TrimPrefix(strings.Join(parts, "; "), "graylane: ")
}
