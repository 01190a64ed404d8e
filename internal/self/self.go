// SPDX-License-Identifier: Apache-2.0

// Package self names this process: its incarnation, and what it is called when
// it calls others. Both are fixed at the start and safe for concurrent use.
package self

import (
	"crypto/rand"
	"encoding/hex"
)

var incarnation = draw()

func draw() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// Incarnation returns 16 hex digits, drawn once a process start.
func Incarnation() string { return incarnation }

// CallerID returns how an application of this process is known to those it calls.
func CallerID(app string) string { return app + "-" + incarnation }
