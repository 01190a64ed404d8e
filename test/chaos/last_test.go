// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"time"

	"github.com/graylane/graylane"
)

// lastLeaves: two providers leave, then the only one that is left, and all come back.
func (f *fleet) lastLeaves() *row {
	f.t.Helper()
	const name = "the last one leaves"
	from := time.Now()
	for _, s := range f.slots[1:] {
		f.leave(s.now)
		f.gone = append(f.gone, s.now)
	}
	p := f.slots[0].now
	at := f.leave(p)
	f.gone = append(f.gone, p)
	f.load(time.Second) // nobody is there
	first := f.start(0)
	back := time.Now().Add(backWithin)
	f.awaitUse(first)
	for n := range f.slots[1:] {
		f.awaitUse(f.start(n + 1))
	}
	r := f.row(name, from, f.settle())
	f.left(r, p, at)

	var end time.Time // of its service
	f.mu.Lock()
	for _, e := range f.executions {
		if e.by == p.spec.Name && e.at.After(end) {
			end = e.at
		}
	}
	f.mu.Unlock()
	r.explain(func(c call) bool { return c.None && c.End.After(end) && c.Start.Before(back) })
	if r.Allowed == 0 {
		r.fault("no call failed with ErrNoEndpoint, though nobody was there for a second")
	}
	// Callers who have nowhere else to go are served for as long as was promised.
	const gap = 250 * time.Millisecond // at most, between the last call served and the first refused
	notice := graylane.Default().Shutdown.Notice
	if served := end.Sub(f.reportOf(p).Deregistered); served < notice-gap {
		r.fault("the last one served %v after it was deregistered, want %v", served, notice)
	}
	return r
}

// backWithin is how soon a provider that is ready must be in use.
const backWithin = 2 * time.Second
