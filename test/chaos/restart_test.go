// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"time"
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
	f.load(window + 2*time.Second)
	r := f.row(name, from, f.settle())
	f.lostOnlyOn(r, p, killed)
	seen := f.firstUse(next)
	if used := seen.Sub(ready); f.timed && used > backWithin {
		r.fault("in use by all %v after it was ready, want %v", used, backWithin)
	}
	return r
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
