// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"log/slog"
	"sync"
	"sync/atomic"
)

// counters of the process; see Stats.
var (
	rejected, disagreed         atomic.Uint64 //nolint:gochecknoglobals // counters of the process
	rejectedOnce, disagreedOnce sync.Once     //nolint:gochecknoglobals // logged once a process
)

// Stats returns how many values were no tag, and how many calls carried two
// different ones, since the process started.
func Stats() (rejectedValues, disagreements uint64) { return rejected.Load(), disagreed.Load() }

// Value returns the string of an attachment: a string itself, or the first of a
// []string (Triple headers) or of a []any (lists over hessian2). It reports
// false for anything else and for the empty string, which Dubbo Java treats as
// absent.
func Value(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, v != ""
	case []string:
		if len(v) > 0 {
			return v[0], v[0] != ""
		}
	case []any:
		if len(v) > 0 {
			s, ok := v[0].(string)
			return s, ok && s != ""
		}
	}
	return "", false
}

// FromWire reads the tag of a call from its attachments, of which get returns
// one by its lower-case key. [KeyTag] goes before [KeyShadow], that before the
// baggage member. The first key that is there decides: if its value is no tag,
// the call has none, whatever the others say. Calls whose keys disagree are
// counted.
func FromWire(get func(key string) (any, bool)) Tag {
	var t Tag
	found := false
	for _, key := range [...]string{KeyTag, KeyShadow, Baggage} {
		v, ok := get(key)
		if !ok {
			continue
		}
		s, ok := Value(v)
		if ok && key == Baggage {
			s, ok = memberOf(v)
		}
		if !ok {
			continue
		}
		next := Accept(key, s)
		if !found {
			t, found = next, true
		} else if next != t {
			disagree(key, t, next)
		}
	}
	return t
}

// Accept returns the tag in a string that nobody has checked, or none; key says
// where it came from.
// What is no tag is counted and logged once.
func Accept(key, s string) Tag {
	t, err := Parse(s)
	if err != nil {
		rejected.Add(1)
		rejectedOnce.Do(func() {
			slog.Warn("[graylane] a call came with a tag that is none, and goes on without (logged once, then counted)", "key", key, "error", clip(err.Error()))
		})
	}
	return t
}

func disagree(key string, kept, other Tag) {
	disagreed.Add(1)
	disagreedOnce.Do(func() {
		slog.Warn("[graylane] a call carries two tags; the one under the first key counts (logged once, then counted)", "kept", kept.String(), "key", key, "other", other.String())
	})
}

// clip keeps a log line short, whatever a peer put into it.
func clip(s string) string {
	const limit = 400
	if len(s) > limit {
		return s[:limit] + "..."
	}
	return s
}
