// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"time"

	"github.com/graylane/graylane"
	"github.com/graylane/graylane/internal/testkit/ramp"
)

// restart kills a provider and starts it again at once, on the same address, while
// the registry may still list the one that died.
func (f *fleet) restart() *row {
	f.t.Helper()
	const name = "crash and restart"
	f.awaitWarm()
	from, _ := f.load(time.Second)
	p := f.slots[0].now
	if err := p.Kill(); err != nil {
		f.t.Fatal(err)
	}
	killed := time.Now()
	next := f.start(0)
	ready := time.Now()
	f.awaitUse(next)
	f.load(sessions)
	r := f.row(name, from, f.settle())
	f.lostOnlyOn(r, p, killed)
	seen := f.firstUse(next)
	if used := seen.Sub(ready); used > backWithin {
		r.slow("in use by all %v after it was ready, want %v", used, backWithin)
	}
	shares := f.ramp(next, seen)
	for _, s := range shares {
		if !s.OK() {
			r.slow("age %v to %v: %d of %d calls, want %.1f %%: z %+.1f", s.From, s.To, s.Observed, s.N, 100*s.P, s.Z)
		}
	}
	f.t.Logf("%s: ready %v after the kill, %d shares of a second each, largest |z| %.2f", f.cell, ready.Sub(killed), len(shares), ramp.MaxZ(shares))
	return r
}

// sessions is longer than a registry keeps what a process registered that died: its
// end must not take what the next one registered.
const sessions = 20 * time.Second

// ramp holds the share of a newcomer among warm providers against the curve, from when
// all consumers know it until the load ended.
func (f *fleet) ramp(p *process, from time.Time) []ramp.Slice {
	f.mu.Lock()
	defer f.mu.Unlock()
	var calls []ramp.Call
	for _, c := range f.calls {
		if c.Err == "" && c.Start.After(from) {
			calls = append(calls, ramp.Call{At: c.Start, Newcomer: c.By == p.spec.Name})
		}
	}
	curve := ramp.Curve{Window: window, MinPercent: float64(graylane.Default().Warmup.MinPercent), Power: 1, Warm: len(f.slots) - 1}
	return ramp.Slices(curve, p.born, from.Sub(p.born), time.Second, int((sessions-time.Second)/time.Second), calls)
}

// firstUse is when the last of the consumers made its first call to p.
func (f *fleet) firstUse(p *process) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	first := map[string]time.Time{}
	for _, c := range f.calls {
		if at, ok := first[consumerOf(c.ID)]; c.By == p.spec.Name && (!ok || c.Start.Before(at)) {
			first[consumerOf(c.ID)] = c.Start
		}
	}
	var last time.Time
	for _, at := range first {
		if at.After(last) {
			last = at
		}
	}
	return last
}

// awaitWarm waits until every provider has its full weight.
func (f *fleet) awaitWarm() {
	f.t.Helper()
	f.mu.Lock()
	var youngest time.Time
	for _, s := range f.slots {
		if s.now.born.After(youngest) {
			youngest = s.now.born
		}
	}
	f.mu.Unlock()
	if left := time.Until(youngest.Add(window)); left > 0 {
		f.load(left)
	}
}
