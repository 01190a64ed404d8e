// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"

	"github.com/graylane/graylane/filter/shutdown"
)

// Incarnation returns the name of this start of this process: 16 hex digits,
// drawn at random once.
func Incarnation() string { return shutdown.Incarnation() }

// CallerID returns how this process, running the application app, names itself to
// the providers it calls: "<app>-<incarnation>".
func CallerID(app string) string {
	// The id is followed by ";" on the wire and must be printable there.
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ';' {
			return '_'
		}
		return r
	}, app) + "-" + Incarnation()
}
