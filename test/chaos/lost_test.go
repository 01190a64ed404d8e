// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"time"
)

// nodeLost cuts a provider off: no packet comes through any more, and no connection
// is closed. The registry keeps it until its session is over.
func (f *fleet) nodeLost() *row {
	f.t.Helper()
	const name = "node lost"
	from, calm := f.load(8 * time.Second)
	p := f.slots[1].now
	at := f.signal(p, signalLost)
	f.await(p.spec.Name+" lost", func() bool { return p.lost })
	f.load(20 * time.Second)
	r := f.row(name, from, f.settle())
	out := at.Add(2 * f.timeout)
	r.explain(func(c call) bool { return c.End.After(at) && c.Start.Before(out) })
	if r.Allowed == 0 {
		r.fault("no call failed: it was not cut off")
	}
	// Calls elsewhere: all that were answered, for from now on nobody answers there.
	before, after := f.p99(from, calm), f.p99(at, at.Add(20*time.Second))
	f.t.Logf("%s: p99 of calls elsewhere %v, before it %v", f.cell, after, before)
	if after > 2*before {
		r.slow("calls elsewhere: p99 %v, before it was %v", after, before)
	}
	if err := p.Kill(); err != nil {
		f.t.Error(err)
	}
	f.awaitUse(f.start(1))
	return r
}

// p99 is that of the ordinary calls that started in [from, to) and were answered: of
// each second, and of these the median, for a machine that stands still for a moment
// makes a second slow, not all.
func (f *fleet) p99(from, to time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	seconds := make([][]time.Duration, int(to.Sub(from)/time.Second))
	for _, c := range f.calls {
		n := int(c.Start.Sub(from) / time.Second)
		if c.Err == "" && !c.Long && !c.Start.Before(from) && n < len(seconds) {
			seconds[n] = append(seconds[n], c.End.Sub(c.Start))
		}
	}
	var each []time.Duration
	for _, list := range seconds {
		each = append(each, percentile(list, 99))
	}
	return percentile(each, 50)
}
