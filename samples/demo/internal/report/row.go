// SPDX-License-Identifier: Apache-2.0

// Package report shows what the demo saw: a row for each step while it runs, two
// runs side by side, a chart, and one JSON object.
package report

import (
	"fmt"
	"strings"
)

// Row is the result of one step.
type Row struct {
	Step   int // 1 to 6
	Name   string
	Facts  []string // what was seen, a line each
	Faults []string // what should not have been, a line each; none is PASS
	Judged bool     // false where plain dubbo-go is only watched
}

// Verdict returns PASS, FAIL, or "seen" for what is not judged.
func (r Row) Verdict() string {
	switch {
	case !r.Judged:
		return "seen"
	case len(r.Faults) > 0:
		return "FAIL"
	}
	return "PASS"
}

// Fact adds a line of what was seen.
func (r *Row) Fact(format string, args ...any) {
	r.Facts = append(r.Facts, fmt.Sprintf(format, args...))
}

// Fault adds a line of what should not have been.
func (r *Row) Fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// maxFaults bounds how many faults a table shows; the rest is counted.
const maxFaults = 8

func (r Row) text() string {
	lines := append([]string(nil), r.Facts...)
	for i, f := range r.Faults {
		if i == maxFaults {
			lines = append(lines, fmt.Sprintf("! and %d more", len(r.Faults)-i))
			break
		}
		lines = append(lines, "! "+f)
	}
	return strings.Join(lines, "\n")
}
