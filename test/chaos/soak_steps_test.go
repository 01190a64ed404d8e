// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/ports"
)

// soak is a fleet that goes on.
type soak struct {
	*fleet
	cut  time.Time      // calls that started before it have been judged
	past map[string]int // of each of these, how often it was executed
	all  row            // sums
	held []*holding

	outlived map[*process]int // the events that a provider was there before and after
}

func startSoak(t *testing.T, c cell) *soak {
	t.Helper()
	f := newFleet(t, c, registryFor(t, c.registry), soaked, false)
	f.timer = startTimer(t.Context())
	f.begin()
	s := &soak{fleet: f, cut: time.Now(), past: map[string]int{}, outlived: map[*process]int{}, all: row{Cell: c.String(), Event: "soak"}}
	for _, p := range slices.Concat(f.consumers, f.steady) {
		s.held = append(s.held, &holding{process: p})
	}
	return s
}

// launchSteady starts a provider of the second service.
func (f *fleet) launchSteady(n int) *process {
	f.t.Helper()
	s := f.spec("provider", fmt.Sprintf("steady%d", n+1))
	s.Cell += "Steady"
	s.Port, s.Metadata = ports.Free(), ports.Free()
	p := f.launch(s)
	f.await(s.Name+" ready", func() bool { return p.ready })
	return p
}

// step lets one event happen after a pause, and looks at everything there is to see.
func (s *soak) step(n int, pause time.Duration, e event, order []int) {
	s.t.Helper()
	s.load(pause)
	slots, names := make([]*slot, len(order)), make([]string, len(order))
	before := make([]*process, len(order))
	for i, at := range order {
		slots[i], names[i], before[i] = s.slots[at], s.slots[at].name, s.slots[at].now
	}
	s.mu.Lock()
	s.slots = slots
	s.mu.Unlock()
	began := time.Now()
	r := e.do(s.fleet)
	took := time.Since(began)
	s.load(calm)
	s.account(r)
	s.t.Logf("%d. pause %v, slots %v, %s (%.0f s): %d calls, %d lost, %d excused, %d in a standstill, %d duplicated",
		n, pause, names, r.Event, took.Seconds(), r.Calls, r.lost(), r.Allowed, r.Stalled, r.Duplicated)
	s.sample()
	for p := range s.outlived {
		if !slices.ContainsFunc(s.slots, func(o *slot) bool { return o.now == p }) {
			delete(s.outlived, p)
		}
	}
	for _, slot := range s.slots {
		if slices.Contains(before, slot.now) {
			s.outlived[slot.now]++
		}
	}
	for _, h := range s.held {
		text, faults := h.look(s)
		s.t.Log("   " + text)
		r.Faults = append(r.Faults, faults...)
	}
	for _, fault := range r.Faults {
		s.t.Errorf("%d. %s: %s", n, r.Event, fault)
	}
}

// account judges all calls since the last step, those outside of the event's row
// included, adds them up and forgets them.
func (s *soak) account(r *row) {
	s.t.Helper()
	cut := s.settle()
	whole := s.row(r.Event, s.cut, cut)
	whole.setAsideStalled()
	if n := len(whole.failures) - len(r.failures); n != 0 {
		r.fault("%d more calls failed before or after it; the last of all: %+v", n, whole.failures[len(whole.failures)-1])
	}
	if n := whole.Duplicated - r.Duplicated; n != 0 {
		r.fault("%d more calls, before or after it, were executed twice", n)
	}
	s.all.Calls += whole.Calls
	s.all.Failed += whole.Failed
	s.all.Allowed += r.Allowed
	s.all.Stalled += whole.Stalled
	s.all.Duplicated += whole.Duplicated
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = cut
	s.calls = slices.DeleteFunc(s.calls, func(c call) bool {
		over := c.Start.Before(cut)
		if over {
			s.past[c.ID] = 0
		}
		return over
	})
	s.executions = slices.DeleteFunc(s.executions, func(e execution) bool {
		runs, over := s.past[e.id]
		if !over {
			return false
		}
		s.past[e.id] = runs + 1
		if runs == 1 && e.at.After(cut) { // row has not seen it
			r.fault("call %s was executed again by %s after it had been judged", e.id, e.by)
		}
		return true
	})
}

// sample asks every long-lived process what it holds now.
func (s *soak) sample() {
	s.t.Helper()
	for _, h := range s.held {
		s.signal(h.process, signalSample)
	}
	s.await("asked", func() bool {
		return !slices.ContainsFunc(s.held, func(h *holding) bool { return len(h.process.samples) == len(h.samples) })
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.held {
		h.samples = h.process.samples
	}
}

// end lets everybody leave, compares the books and judges what was held.
func (s *soak) end(events int) {
	s.t.Helper()
	s.finish()
	for _, p := range s.steady {
		s.leave(p)
	}
	gone := slices.Concat(s.gone, s.steady)
	pairs, faults := s.balance(gone)
	if want := len(gone) * len(s.consumers); pairs != want {
		faults = append(faults, fmt.Sprintf("%d pairs of ledger and drain report, want %d", pairs, want))
	}
	s.t.Logf("%d events: %d calls, %d lost, %d excused, %d in a standstill, %d duplicated; books of %d pairs; a timer of the test was late by at most %v", events, s.all.Calls, s.all.lost(), s.all.Allowed, s.all.Stalled, s.all.Duplicated, pairs, s.timer.late().Round(time.Millisecond))
	for _, h := range s.held {
		for _, series := range h.series() {
			text, faulty := series.judge()
			if s.t.Log(text); faulty {
				faults = append(faults, text)
			}
		}
	}
	for _, fault := range faults {
		s.t.Error(fault)
	}
}
