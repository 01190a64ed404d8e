// SPDX-License-Identifier: Apache-2.0

package load

import (
	"strings"
	"time"
)

// Record is what the outside saw of one request.
type Record struct {
	ID       string        // the request id, unique in a run
	Coloured bool          // sent with the lane's colour
	Intended time.Time     // when it was due, whether or not the generator was late
	Latency  time.Duration // from Intended to the last byte of the answer, or to the failure
	Status   int           // HTTP status, 0 without an answer
	Path     string        // lane_path of the answer, "" where there is none
	Err      string        // why it failed, "" when answered with 200
}

// OK reports whether the request was answered with success.
func (r Record) OK() bool { return r.Err == "" }

// Done is when the answer was complete, or the request given up.
func (r Record) Done() time.Time { return r.Intended.Add(r.Latency) }

// Hop is one element of a lane path.
type Hop struct {
	App    string // "user"
	Tag    string // the instance's tag, "" on the baseline
	Reason string // why a coloured call was served by the baseline, "" when it was not
}

// Hops reads a lane path such as
// "gateway > user(gray) > cart(base: no-instance) > order(gray)". Elements
// without parentheses (the ingress itself) are left out, and so is what cannot
// be read.
func Hops(path string) []Hop {
	var hops []Hop
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return r == '>' || r == ',' }) {
		app, rest, ok := strings.Cut(strings.TrimSpace(part), "(")
		inside, closed := strings.CutSuffix(rest, ")")
		if !ok || !closed {
			continue
		}
		h := Hop{App: app, Tag: inside}
		if level, reason, _ := strings.Cut(inside, ":"); level == "base" {
			h.Tag, h.Reason = "", strings.TrimSpace(reason)
		}
		hops = append(hops, h)
	}
	return hops
}

// Leaked reports whether a request without colour was served by a tagged instance.
func (r Record) Leaked() bool {
	if r.Coloured {
		return false
	}
	for _, h := range Hops(r.Path) {
		if h.Tag != "" {
			return true
		}
	}
	return false
}

// Fallbacks lists the hops of a coloured request that the baseline served.
func (r Record) Fallbacks() []Hop {
	if !r.Coloured {
		return nil
	}
	var out []Hop
	for _, h := range Hops(r.Path) {
		if h.Tag == "" {
			out = append(out, h)
		}
	}
	return out
}
