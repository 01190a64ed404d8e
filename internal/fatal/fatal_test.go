// SPDX-License-Identifier: Apache-2.0

package fatal

import (
	"errors"
	"testing"
)

func TestLine(t *testing.T) {
	for in, want := range map[string]string{
		"port in use":        "graylane: port in use",
		"graylane: settings": "graylane: settings",
		"a: 1\nb: 2\r\nc: 3": "graylane: a: 1; b: 2; c: 3",
	} {
		if got := Line(errors.New(in)); got != want {
			t.Errorf("Line(%q) = %q, want %q", in, got, want)
		}
	}
}
