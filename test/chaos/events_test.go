// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"slices"
	"syscall"
	"time"

	"github.com/graylane/graylane/internal/testkit/ports"
)

// event lets something happen to a fleet and returns what that did.
type event struct {
	name string
	ci   bool // runs in every cell in CI
	do   func(f *fleet) *row
	own  bool // with a fleet and a registry of its own, which it may kill; processes start without it, too
}

// events of all files, in the order in which they run.
func events() []event {
	return slices.Concat(
		leaveEvents(),
		crashEvents(),
		callerEvents(),
		registryEvents(),
		scaleEvents(),
	)
}

func leaveEvents() []event {
	return []event{
		{name: "rolling SIGTERM in place", ci: true, do: func(f *fleet) *row { return f.rolling("rolling SIGTERM in place", false) }},
		{name: "rolling SIGTERM to new ports", do: func(f *fleet) *row { return f.rolling("rolling SIGTERM to new ports", true) }},
		{name: "SIGTERM with 8 s calls", do: (*fleet).longCalls},
		{name: "the last one leaves", do: (*fleet).lastLeaves},
	}
}

func crashEvents() []event {
	return []event{
		{name: "kill -9", ci: true, do: (*fleet).crash},
		{name: "crash and restart", do: (*fleet).restart},
		{name: "SIGSTOP 20 s", do: (*fleet).freeze},
		{name: "node lost", do: (*fleet).nodeLost},
	}
}

func callerEvents() []event {
	return []event{
		{name: "a caller frozen during a leave", do: (*fleet).frozenCaller},
		{name: "a caller that left", ci: true, do: (*fleet).callerThatLeft},
		{name: "a caller on plain dubbo-go", do: (*fleet).plainCaller},
	}
}

// rolling restarts every provider by SIGTERM, one after the other.
func (f *fleet) rolling(name string, move bool) *row {
	f.t.Helper()
	from := time.Now()
	type leave struct {
		p  *process
		at time.Time
	}
	var leaves []leave
	for range f.rounds {
		for n, s := range f.slots {
			p := s.now
			leaves = append(leaves, leave{p, f.leave(p)})
			if move {
				s.port = ports.Free()
			}
			f.awaitUse(f.start(n))
		}
	}
	r := f.row(name, from, f.settle())
	for _, l := range leaves {
		f.left(r, l.p, l.at)
		f.gone = append(f.gone, l.p)
	}
	r.noneMayFail()
	bound := 50 * time.Millisecond
	if f.cell.protocol == "dubbo" { // it learns by the answers: 4 mean gaps of a caller's calls to one provider
		bound = max(100*time.Millisecond, 4*time.Second*time.Duration(providers*f.callers)/time.Duration(f.rate)+work)
	}
	if share, last := r.lastNewCall(); last > bound {
		r.slow("last new call p%d %v after the signal, want at most %v", share, last, bound)
	}
	return r
}

// longCalls: a provider leaves with 8 s calls in flight.
func (f *fleet) longCalls() *row {
	f.t.Helper()
	const name = "SIGTERM with 8 s calls"
	from := time.Now()
	for _, c := range f.consumers {
		if _, err := c.Signal(signalLonger); err != nil {
			f.t.Fatal(err)
		}
	}
	started := func(by string) (n int) {
		for _, e := range f.executions {
			if e.by == by && e.at.After(from) && isLong(e.id) {
				n++
			}
		}
		return n
	}
	p := f.slots[0].now
	f.await("long calls at every provider", func() bool {
		all := 0
		for _, s := range f.slots {
			all += started(s.now.spec.Name)
		}
		return all == longCalls*len(f.consumers) && started(p.spec.Name) > 0
	})
	at := f.leave(p)
	exited := time.Now()
	f.gone = append(f.gone, p)
	f.awaitUse(f.start(0))
	f.await("the long calls answered", func() bool {
		n := 0
		for _, c := range f.calls {
			if c.Long && c.Start.After(from) {
				n++
			}
		}
		return n == longCalls*len(f.consumers)
	})
	r := f.row(name, from, f.settle())
	f.left(r, p, at)
	r.noneMayFail()
	f.mu.Lock()
	defer f.mu.Unlock()
	var last time.Time
	for _, c := range f.calls {
		if c.By == p.spec.Name && c.End.After(last) {
			last = c.End
		}
	}
	if over := exited.Sub(last); over > time.Second {
		r.slow("exit %v after the last answer, want at most 1 s", over)
	}
	return r
}

func isLong(id string) bool { return len(id) > 5 && id[len(id)-5:] == "-long" }

// crash kills a provider by kill -9 and starts it again later.
func (f *fleet) crash() *row {
	f.t.Helper()
	const name = "kill -9"
	from, calm := f.load(2 * time.Second)
	s := f.slots[1]
	p := s.now
	if err := p.Kill(); err != nil {
		f.t.Fatal(err)
	}
	killed := time.Now()
	f.load(4 * time.Second)
	r := f.row(name, from, f.settle())
	f.lostOnlyOn(r, p, killed)
	before, after := f.answered(from, calm), f.answered(killed.Add(2*time.Second), killed.Add(4*time.Second))
	if after*100 < before*95 {
		r.slow("%d calls answered in the 3rd and 4th second after it, %d in two seconds before", after, before)
	}
	f.awaitUse(f.start(1))
	return r
}

// lostOnlyOn excuses failed calls that were in flight on p when it ended, by end. That
// the test knows that it ended does not mean that its callers do: they get to see the
// close of their connections when the system lets them run, and what they wrote
// before that is in flight on it all the same.
func (f *fleet) lostOnlyOn(r *row, p *process, end time.Time) {
	end = end.Add(noticed)
	f.mu.Lock()
	ran := map[string]string{}
	for _, e := range f.executions {
		ran[e.id] = e.by
	}
	f.mu.Unlock()
	r.explain(func(c call) bool {
		by, did := ran[c.ID]
		return !c.Start.After(end) && (!did || by == p.spec.Name)
	})
}

// answered counts the good answers to calls that started in [from, to).
func (f *fleet) answered(from, to time.Time) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c.Err == "" && !c.Start.Before(from) && c.Start.Before(to) {
			n++
		}
	}
	return n
}

// freeze stops a provider for 20 s: it hangs, then goes on as if nothing was.
func (f *fleet) freeze() *row {
	f.t.Helper()
	const name = "SIGSTOP 20 s"
	from, _ := f.load(time.Second) // with the calls in flight
	p := f.slots[2].now
	at, err := p.Signal(syscall.SIGSTOP)
	if err != nil {
		f.t.Fatal(err)
	}
	f.load(20 * time.Second)
	cont, err := p.Signal(syscall.SIGCONT)
	if err != nil {
		f.t.Fatal(err)
	}
	f.load(6 * time.Second)
	r := f.row(name, from, f.settle())
	out := at.Add(2 * f.timeout) // out of use within two timeouts
	r.explain(func(c call) bool { return c.Start.Before(out) })
	f.mu.Lock()
	defer f.mu.Unlock()
	back := time.Duration(-1)
	for _, c := range f.calls {
		if c.By == p.spec.Name && c.Err == "" && c.Start.After(cont) && (back < 0 || c.Start.Sub(cont) < back) {
			back = c.Start.Sub(cont)
		}
	}
	if back < 0 || back > 5*time.Second {
		r.fault("back in use %v after SIGCONT, want at most 5 s", back)
	}
	return r
}
