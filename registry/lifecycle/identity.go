// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/graylane/graylane/internal/self"
)

// Incarnation returns the name of this start of this process: 16 hex digits,
// drawn at random once.
func Incarnation() string { return self.Incarnation() }

// CallerID returns how this process, running the application app, names itself to
// the providers it calls: "<app>-<incarnation>".
func CallerID(app string) string { return self.CallerID(app) }

// StartTime returns when this instance became ready for calls, as it publishes it:
// the time from which others count its age. It is zero until the first registration
// has succeeded.
func StartTime() time.Time {
	process.mu.Lock()
	defer process.mu.Unlock()
	if !process.fixed {
		return time.Time{}
	}
	return process.birth.start
}
