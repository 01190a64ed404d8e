// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

const (
	// lateAfter is how long after it was told a caller may still start calls: what
	// was on its way. Later ones show that it did not listen.
	lateAfter = 200 * time.Millisecond
	// recentFor is how far back a call makes its caller one to wait for.
	recentFor = 5 * time.Minute
	// flushFor is the time for the answer of the last call to get out: the filter
	// sees a call end before the server has written the answer.
	flushFor = 200 * time.Millisecond
	// flushRounds bounds the flushing under callers that cannot be stopped.
	flushRounds = 5
)

// heard reports whether c knows that we leave, and acts on it.
func heard(c shutdown.Caller) bool {
	return !c.Informed.IsZero() && !c.LastStart.After(c.Informed.Add(lateAfter))
}

// left reports whether c has said that it ends, and has called no more since.
func left(c shutdown.Caller) bool {
	return !c.Left.IsZero() && !c.LastStart.After(c.Left)
}

// recent reports whether c called so late before the mark that it may call again.
func recent(c shutdown.Caller, marked time.Time) bool {
	return !c.LastStart.Before(marked.Add(-recentFor)) && !left(c)
}

// serveEnd returns when the serving step ends, by what is known now. It moves:
// calls that start push it on, callers that become informed draw it near, so it
// must be asked again when the time has come.
//
// deregistered is zero as long as a registry has not answered. Callers who did
// not call within the last 5 minutes, or have said that they end, do not count.
func serveEnd(s shutdown.Snapshot, deregistered time.Time, cfg conf.Shutdown) time.Time {
	limit := s.Marked.Add(cfg.Timeout)
	quietSince, allHeard := later(s.Marked, s.LastStart), true
	for _, c := range s.Callers {
		switch {
		case !recent(c, s.Marked):
		case c.Reroutes && heard(c):
			quietSince = later(quietSince, c.Informed)
		default:
			allHeard = false
		}
	}
	switch {
	case allHeard:
		return earlier(limit, quietSince.Add(cfg.QuietPeriod))
	case deregistered.IsZero():
		return limit
	default:
		return earlier(limit, deregistered.Add(cfg.Notice))
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
