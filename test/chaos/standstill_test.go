// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"sync"
	"testing"
	"time"
)

// standstill is by how much the timer of an idle process is late on a machine that had no
// time for anybody. On one that it has for itself it is late by some 10 ms.
const standstill = 100 * time.Millisecond

// timer is late where the machine stands still. Safe for concurrent use.
type timer struct {
	mu    sync.Mutex
	worst time.Duration
	stood []span
}

// span is a standstill: the timer should have rung at the one time and did at the other.
type span struct{ from, to time.Time }

// startTimer lets one ring until ctx is done.
func startTimer(ctx context.Context) *timer {
	const every = 10 * time.Millisecond
	t := new(timer)
	go func() {
		for at := time.Now(); ctx.Err() == nil; {
			time.Sleep(every)
			now := time.Now()
			t.rang(at.Add(every), now)
			at = now
		}
	}()
	return t
}

func (t *timer) rang(due, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.worst = max(t.worst, at.Sub(due))
	if at.Sub(due) > standstill {
		t.stood = append(t.stood, span{due, at})
	}
}

// late is by how much it was late, the most so far.
func (t *timer) late() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.worst
}

// stoodFor is for how long the machine stood still within [from, to), as far as it was late.
func (t *timer) stoodFor(from, to time.Time) (d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.stood {
		begin, end := s.from, s.to
		if begin.Before(from) {
			begin = from
		}
		if end.After(to) {
			end = to
		}
		d += max(0, end.Sub(begin))
	}
	return d
}

func TestStandstill(t *testing.T) {
	at := time.Unix(1_000, 0)
	var m timer
	m.rang(at, at.Add(standstill)) // that is none
	m.rang(at.Add(10*time.Second), at.Add(11*time.Second))
	m.rang(at.Add(20*time.Second), at.Add(22*time.Second))
	if m.late() != 2*time.Second {
		t.Errorf("late by %v, want 2 s", m.late())
	}
	for _, tc := range []struct{ from, to, want time.Duration }{
		{0, 10 * time.Second, 0},
		{9 * time.Second, 10*time.Second + 500*time.Millisecond, 500 * time.Millisecond},
		{10*time.Second + 200*time.Millisecond, 10*time.Second + 300*time.Millisecond, 100 * time.Millisecond},
		{0, 30 * time.Second, 3 * time.Second},
		{12 * time.Second, 20 * time.Second, 0},
	} {
		if got := m.stoodFor(at.Add(tc.from), at.Add(tc.to)); got != tc.want {
			t.Errorf("from %v to %v: %v, want %v", tc.from, tc.to, got, tc.want)
		}
	}
}
