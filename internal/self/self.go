// SPDX-License-Identifier: Apache-2.0

// Package self names this process: its incarnation, and what it is called when
// it calls others. Both are fixed at the start and safe for concurrent use.
package self

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
)

var incarnation = draw() //nolint:gochecknoglobals // one a process, never changed

func draw() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// Incarnation returns 16 hex digits, drawn once a process start.
func Incarnation() string { return incarnation }

// CallerID returns how an application of this process is known to those it calls:
// "<app>-<incarnation>". On the wire ";" follows, and all must be printable there.
func CallerID(app string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ';' {
			return '_'
		}
		return r
	}, app) + "-" + incarnation
}

// CallerTo returns the value of the key graylane-caller for calls of an application to
// an incarnation, which believes it for that.
func CallerTo(app, incarnation string) string { return CallerID(app) + ";" + incarnation }
