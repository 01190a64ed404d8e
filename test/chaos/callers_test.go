// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"slices"
	"syscall"
	"time"

	"github.com/graylane/graylane"
)

// noticed is how soon a process sees that a connection has been closed by the other
// side's end, or, when it goes on after SIGCONT, that it has been closed meanwhile. What
// it wrote before may be lost.
const noticed = 100 * time.Millisecond

// frozenCaller: a provider leaves while one of its callers hangs. It cannot know
// whether that one has heard, so that it stays as long as it promised.
func (f *fleet) frozenCaller() *row {
	f.t.Helper()
	const name = "a caller frozen during a leave"
	c, p := f.consumers[0], f.slots[2].now
	from, _ := f.load(time.Second)
	stopped := f.signal(c, syscall.SIGSTOP)
	f.loadOf(f.consumers[1:], time.Second) // what was under way to it has ended
	at := f.leave(p)
	woke := f.signal(c, syscall.SIGCONT)
	f.load(3 * time.Second)
	r := f.row(name, from, f.settle())
	f.left(r, p, at)
	r.explain(func(k call) bool {
		if consumerOf(k.ID) != c.spec.Name {
			return false
		}
		// In flight when it was frozen, or written before it saw the close.
		return k.Start.Before(stopped.Add(noticed)) && k.End.After(stopped) ||
			!k.Start.Before(woke) && k.Start.Before(woke.Add(noticed))
	})
	f.kept(r, p)
	if report := f.reportOf(p); !slices.Contains(report.Uninformed, c.id) {
		r.fault("the drain report names %q as uninformed, want %q among them", report.Uninformed, c.id)
	}
	f.awaitUse(f.start(2))
	return r
}

// plainCaller: a provider leaves that is also called by a consumer without Graylane.
func (f *fleet) plainCaller() *row {
	f.t.Helper()
	const name = "a caller on plain dubbo-go"
	c := f.join("plain", modeOff)
	for _, s := range f.slots {
		f.awaitUse(s.now)
	}
	from, _ := f.load(time.Second)
	p := f.slots[0].now
	at := f.leave(p)
	f.load(time.Second)
	r := f.row(name, from, f.settle())
	f.left(r, p, at)
	f.gone = append(f.gone, p)
	// Over dubbo plain dubbo-go closes the connection when the registry takes the
	// provider back, and leaves those calls that are under way on it to their timeout.
	gone := f.reportOf(p).Deregistered
	r.explain(func(k call) bool {
		return f.cell.protocol == "dubbo" && consumerOf(k.ID) == c.spec.Name && k.Start.After(at.Add(-noticed)) && k.Start.Before(gone.Add(time.Second)) &&
			k.End.Sub(k.Start) >= f.timeout && f.ranOn(p, k.ID)
	})
	f.kept(r, p)
	named := "127.0.0.1"
	if f.cell.protocol == "tri" {
		named = "unknown" // dubbo-go shows filters no address over Triple
	}
	if report := f.reportOf(p); !slices.Equal(report.CannotReroute, []string{named}) {
		r.fault("the drain report names %q as callers that cannot reroute, want %q", report.CannotReroute, named)
	}
	f.part(c) // before the address is used again: plain dubbo-go would not call it
	f.awaitUse(f.start(0))
	return r
}

// callerThatLeft: a consumer ends before a provider does. It has said so, and nobody
// waits for it.
func (f *fleet) callerThatLeft() *row {
	f.t.Helper()
	const name = "a caller that left"
	c := f.join("leaver", "")
	for _, s := range f.slots {
		f.awaitUse(s.now)
	}
	from, _ := f.load(time.Second)
	f.part(c)
	p := f.slots[1].now
	at := f.leave(p)
	f.load(time.Second)
	r := f.row(name, from, f.settle())
	f.left(r, p, at)
	r.noneMayFail()
	f.gone = append(f.gone, p)
	report := f.reportOf(p)
	if stayed, notice := report.Drained.Sub(report.Deregistered), graylane.Default().Shutdown.Notice; stayed >= notice || len(report.Uninformed) > 0 {
		r.fault("it stayed %v after it was deregistered and names %q as uninformed (the one that ended is %s), want less than %v and nobody", stayed, report.Uninformed, c.id, notice)
	}
	f.awaitUse(f.start(1))
	return r
}

// ranOn reports whether p executed a call.
func (f *fleet) ranOn(p *process, id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.executions, func(e execution) bool { return e.id == id && e.by == p.spec.Name })
}

// kept says if a process that left did not stay for its notice.
func (f *fleet) kept(r *row, p *process) {
	const late = 1500 * time.Millisecond // for the last calls and their answers
	notice := graylane.Default().Shutdown.Notice
	report := f.reportOf(p)
	switch stayed := report.Drained.Sub(report.Deregistered); {
	case stayed < notice:
		r.fault("it stayed %v after it was deregistered, want %v", stayed, notice)
	case stayed > notice+late:
		r.slow("it stayed %v after it was deregistered, want at most %v", stayed, notice+late)
	}
}

// reportOf returns the drain report of a process that has ended; an empty one if it
// printed none.
func (f *fleet) reportOf(p *process) drainReport {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.report == nil {
		return drainReport{}
	}
	return *p.report
}
