// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"testing"
	"time"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// All times below are offsets from the mark.
func TestServeEnd(t *testing.T) {
	mark := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	const never = time.Duration(-1 << 62)
	at := func(d time.Duration) time.Time {
		if d == never {
			return time.Time{}
		}
		return mark.Add(d)
	}
	cfg := conf.Shutdown{QuietPeriod: time.Second, Notice: 10 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second}
	caller := func(reroutes bool, lastStart, informed time.Duration) shutdown.Caller {
		return shutdown.Caller{Reroutes: reroutes, LastStart: at(lastStart), Informed: at(informed)}
	}
	gone := func(lastStart, left time.Duration) shutdown.Caller {
		return shutdown.Caller{Reroutes: true, LastStart: at(lastStart), Left: at(left)}
	}
	const ms = time.Millisecond
	for _, tc := range []struct {
		name         string
		callers      []shutdown.Caller
		lastStart    time.Duration
		deregistered time.Duration
		want         time.Duration
	}{
		{"no callers: the quiet period only", nil, never, never, time.Second},
		{"informed at once", []shutdown.Caller{caller(true, -ms, 5*ms)}, -ms, never, time.Second + 5*ms},
		{"a call on its way when it was informed", []shutdown.Caller{caller(true, 205*ms, 5*ms)}, 205 * ms, never, time.Second + 205*ms},
		{"a call started too late: it does not listen", []shutdown.Caller{caller(true, 205*ms+1, 5*ms)}, 205*ms + 1, 50 * ms, 10*time.Second + 50*ms},
		{"not informed yet, registries still busy", []shutdown.Caller{caller(true, -ms, never)}, -ms, never, 25 * time.Second},
		{"not informed, registries done", []shutdown.Caller{caller(true, -ms, never)}, -ms, 300 * ms, 10*time.Second + 300*ms},
		{"plain, however informed", []shutdown.Caller{caller(false, -ms, 5*ms)}, -ms, 300 * ms, 10*time.Second + 300*ms},
		{"plain, last seen exactly 5 minutes ago", []shutdown.Caller{caller(false, -5*time.Minute, never)}, -5 * time.Minute, 0, 10 * time.Second},
		{"plain, last seen more than 5 minutes ago", []shutdown.Caller{caller(false, -5*time.Minute-1, never)}, -5*time.Minute - 1, 0, time.Second},
		{"one that has ended", []shutdown.Caller{gone(-time.Minute, -59*time.Second)}, -time.Minute, 0, time.Second},
		{"one that ends meanwhile", []shutdown.Caller{caller(true, 0, ms), gone(-ms, 40*ms)}, 0, 0, time.Second + ms},
		{"one that said so and called again", []shutdown.Caller{gone(-ms, -2*ms)}, -ms, 0, 10 * time.Second},
		{"one of two uninformed", []shutdown.Caller{caller(true, 0, ms), caller(true, 0, never)}, 0, 0, 10 * time.Second},
		{"the last of two informed counts", []shutdown.Caller{caller(true, 0, ms), caller(true, 0, 40*ms)}, 0, 0, time.Second + 40*ms},
		{"a slow registry with everybody informed", []shutdown.Caller{caller(true, 0, ms)}, 0, never, time.Second + ms},
		{"never beyond the timeout", []shutdown.Caller{caller(false, 0, never)}, 0, 20 * time.Second, 25 * time.Second},
	} {
		s := shutdown.Snapshot{Marked: mark, LastStart: at(tc.lastStart), Callers: tc.callers}
		if got := serveEnd(s, at(tc.deregistered), cfg).Sub(mark); got != tc.want {
			t.Errorf("%s: ends %v after the mark, want %v", tc.name, got, tc.want)
		}
	}
}
