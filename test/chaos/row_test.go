// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"slices"
	"time"
)

// row is one event in one cell.
type row struct {
	Cell, Event string
	Calls       int
	Failed      int
	Allowed     int // of the failed: in flight on a process that died
	Stalled     int // of the failed: the machine stood still for half of their timeout
	Duplicated  int
	P99         time.Duration
	Last        []time.Duration // signal to last new call
	Drain       []time.Duration
	Faults      []string
	Slow        []string // faults by the clock
	failures    []call
	from        time.Time
	timed       bool
	stalled     func(call) bool // nil for none
}

// lost are the calls that failed without an excuse.
func (r *row) lost() int { return r.Failed - r.Allowed - r.Stalled }

func (r *row) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

// slow is a fault by the clock, which is none in a run that is not judged by it.
func (r *row) slow(format string, args ...any) {
	if r.timed {
		r.Slow = append(r.Slow, fmt.Sprintf(format, args...))
	}
}

// row fills in what every event counts: the calls that started in [from, to).
func (f *fleet) row(event string, from, to time.Time) *row {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := &row{Cell: f.cell.String(), Event: event, from: from, timed: f.timed}
	if f.timer != nil {
		r.stalled = func(c call) bool { return !c.None && f.timer.stoodFor(c.Start, c.End) >= f.timeout/2 }
	}
	var latencies []time.Duration
	ids := map[string]bool{}
	for _, c := range f.calls {
		if c.Start.Before(from) || !c.Start.Before(to) {
			continue
		}
		r.Calls++
		ids[c.ID] = true
		if c.Err != "" {
			r.failures = append(r.failures, c)
		}
		if !c.Long {
			latencies = append(latencies, c.End.Sub(c.Start))
		}
	}
	r.Failed = len(r.failures)
	runs := map[string]int{}
	for _, e := range f.executions {
		if ids[e.id] {
			if runs[e.id]++; runs[e.id] == 2 {
				r.Duplicated++
			}
		}
	}
	r.P99 = percentile(latencies, 99)
	return r
}

// left adds what a process that left in order showed.
func (f *fleet) left(r *row, p *process, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := time.Duration(0)
	for _, e := range f.executions {
		if e.by == p.spec.Name && e.at.After(at) {
			last = max(last, e.at.Sub(at))
		}
	}
	r.Last = append(r.Last, last)
	if p.report != nil {
		r.Drain = append(r.Drain, time.Duration(p.report.DrainMs*float64(time.Millisecond)))
	}
}

// noneMayFail says of every failed call that it should not have.
func (r *row) noneMayFail() {
	r.explain(func(call) bool { return false })
}

// setAsideStalled takes away the failures that say nothing about who was on the machine.
func (r *row) setAsideStalled() {
	if r.stalled == nil {
		return
	}
	all := len(r.failures)
	r.failures = slices.DeleteFunc(r.failures, r.stalled)
	r.Stalled += all - len(r.failures)
}

// explain faults the failed calls that have no excuse.
func (r *row) explain(excused func(call) bool) {
	r.setAsideStalled()
	type fault struct {
		n           int
		first, last time.Time
	}
	texts := map[string]fault{}
	for _, c := range r.failures {
		if excused(c) {
			r.Allowed++
			continue
		}
		f := texts[c.Err]
		if f.n++; f.n == 1 || c.Start.Before(f.first) {
			f.first = c.Start
		}
		if c.Start.After(f.last) {
			f.last = c.Start
		}
		texts[c.Err] = f
	}
	for text, f := range texts {
		r.fault("%d calls failed that started %.1f to %.1f s after the event began: %s", f.n, f.first.Sub(r.from).Seconds(), f.last.Sub(r.from).Seconds(), text)
	}
	if r.Duplicated > 0 {
		r.fault("%d calls executed twice", r.Duplicated)
	}
}

// lastNewCall is the percentile by which leaves are judged, and which one that is: the
// 95th of twenty and more. Of fewer it would be the one worst, so the median stands for it.
func (r *row) lastNewCall() (share int, d time.Duration) {
	const enough = 20
	share = 95
	if len(r.Last) < enough {
		share = 50
	}
	return share, percentile(r.Last, share)
}

// percentile is the nearest-rank one, 0 of an empty list.
func percentile(list []time.Duration, p int) time.Duration {
	if len(list) == 0 {
		return 0
	}
	sorted := slices.Clone(list)
	slices.Sort(sorted)
	return sorted[(len(sorted)*p+99)/100-1]
}
