// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func acquire(t *Table, address, incarnation string) *Endpoint {
	return &Endpoint{Instance: t.Acquire(address, incarnation, "order", Birth{}), Weight: 100}
}

func entry(t *testing.T, table *Table) Entry {
	t.Helper()
	l := table.Ledger()
	if len(l) != 1 {
		t.Fatalf("the ledger has %d entries, want 1: %+v", len(l), l)
	}
	return l[0]
}

func TestBegin(t *testing.T) {
	for _, tc := range []struct {
		name        string
		change      func(*Endpoint)
		begin, last bool
	}{
		{"usable", func(*Endpoint) {}, true, true},
		{"closing", func(e *Endpoint) { e.MarkClosing() }, false, true},
		{"refusing", func(e *Endpoint) { e.MarkRefusing() }, false, false},
		{"outlier", func(e *Endpoint) { e.SetOutlier(true) }, false, true},
		{"closing outlier", func(e *Endpoint) { e.MarkClosing(); e.SetOutlier(true) }, false, true},
		{"removed", func(e *Endpoint) { e.SetRemoved(true) }, false, true},
		{"removed outlier", func(e *Endpoint) { e.SetRemoved(true); e.SetOutlier(true) }, false, false},
		{"listed again", func(e *Endpoint) { e.SetRemoved(true); e.SetOutlier(true); e.SetRemoved(false) }, false, true},
		{"let in again", func(e *Endpoint) { e.SetOutlier(true); e.SetOutlier(false) }, true, true},
		{"retired", func(e *Endpoint) { e.Retire(func() {}) }, false, false},
	} {
		for _, last := range []bool{false, true} {
			table := new(Table)
			e := acquire(table, "10.0.0.1:1", "a")
			tc.change(e)
			want, inflight := tc.begin, int64(0)
			if last {
				want = tc.last
			}
			if want {
				inflight = 1
			}
			if got := e.Begin(last); got != want {
				t.Errorf("%s: Begin(last=%t) = %t, want %t", tc.name, last, got, want)
			}
			if e.InFlight() != inflight || entry(t, table).Sent != inflight {
				t.Errorf("%s: after Begin(last=%t) %d in flight and %d sent, want %d", tc.name, last, e.InFlight(), entry(t, table).Sent, inflight)
			}
		}
	}
}

// TestBeginAnyway: only a retired endpoint takes no call of those who cannot send it elsewhere.
func TestBeginAnyway(t *testing.T) {
	e := acquire(new(Table), "10.0.0.1:1", "a")
	e.MarkRefusing()
	freed := false
	if !e.With("gray", 1).BeginAnyway() || e.InFlight() != 1 {
		t.Fatalf("refusing: %d in flight, want 1", e.InFlight())
	}
	if e.Retire(func() { freed = true }); freed || e.BeginAnyway() {
		t.Errorf("retired: freed under its call %t, or another one began", freed)
	}
	if e.End(Answered); !freed || e.InFlight() != 0 {
		t.Errorf("after its end: freed %t, %d in flight", freed, e.InFlight())
	}
}

// TestEnd: each outcome in its column; a failed call was never sent.
func TestEnd(t *testing.T) {
	for _, tc := range []struct {
		outcome Outcome
		want    Entry
	}{
		{Answered, Entry{Sent: 1, Answered: 1}},
		{Refused, Entry{Sent: 1, Refused: 1}},
		{Failed, Entry{Failed: 1}},
		{Unknown, Entry{Sent: 1, Unknown: 1}},
	} {
		table := new(Table)
		e := acquire(table, "10.0.0.1:1", "a")
		if !e.Begin(false) {
			t.Fatal("a usable endpoint does not begin")
		}
		e.End(tc.outcome)
		tc.want.Service, tc.want.Address, tc.want.Incarnation = "order", "10.0.0.1:1", "a"
		if got := entry(t, table); got != tc.want {
			t.Errorf("outcome %d: %+v, want %+v", tc.outcome, got, tc.want)
		}
		if e.InFlight() != 0 {
			t.Errorf("outcome %d: %d in flight", tc.outcome, e.InFlight())
		}
	}
}

// TestStrikes: an answer ends the row, nothing else does, nor another service's answer less.
func TestStrikes(t *testing.T) {
	table := new(Table)
	e := acquire(table, "10.0.0.1:1", "a")
	other := acquire(table, "10.0.0.1:1", "a")
	if e.Instance != other.Instance {
		t.Fatal("two services of one incarnation have two instances")
	}
	for n := 1; n <= 4; n++ {
		e.Begin(false)
		e.End(Unknown)
		if got := e.Strike(); got != n {
			t.Errorf("strike %d counted as %d", n, got)
		}
	}
	for _, o := range []Outcome{Refused, Failed, Unknown} {
		e.Begin(false)
		e.End(o)
	}
	if got := e.Strike(); got != 5 {
		t.Errorf("after other outcomes %d in a row, want 5", got)
	}
	other.Begin(false)
	other.End(Answered)
	if got := e.Strike(); got != 1 {
		t.Errorf("after an answer %d in a row, want 1", got)
	}
}

// TestNoCallStartsAfterMarkClosing needs no clock: each worker looks at the flag
// that is raised once MarkClosing has returned, then begins. Whoever saw it
// raised must not get in.
func TestNoCallStartsAfterMarkClosing(t *testing.T) {
	for _, stop := range []struct {
		name string
		f    func(*Endpoint)
	}{
		{"closing", func(e *Endpoint) { e.MarkClosing() }},
		{"outlier", func(e *Endpoint) { e.SetOutlier(true) }},
		{"retired", func(e *Endpoint) { e.Retire(func() {}) }},
	} {
		for range 200 {
			e := acquire(new(Table), "10.0.0.1:1", "a")
			var marked atomic.Bool
			var began, late atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					for range 200 {
						was := marked.Load()
						if e.Begin(false) {
							began.Add(1)
							if was {
								late.Add(1)
							}
							e.End(Answered)
						} else if was {
							return
						}
					}
				})
			}
			stop.f(e)
			marked.Store(true)
			wg.Wait()
			if late.Load() > 0 {
				t.Fatalf("%s: %d of %d calls began after it", stop.name, late.Load(), began.Load())
			}
			if e.InFlight() != 0 {
				t.Fatalf("%s: %d in flight at the end", stop.name, e.InFlight())
			}
		}
	}
}

// TestRetire: free runs once and only when the last call has returned, also of
// calls that began under another tag or weight, whichever of both is retired.
func TestRetire(t *testing.T) {
	for _, name := range []string{"idle", "one call", "a call of the former tag", "the former tag retired"} {
		e := acquire(new(Table), "10.0.0.1:1", "a")
		with := e.With("gray", 50)
		if with.Tag != "gray" || with.Weight != 50 || with.Instance != e.Instance {
			t.Fatalf("With(gray, 50) = %+v", with)
		}
		calls, retire := []*Endpoint{}, e
		switch name {
		case "one call":
			calls = []*Endpoint{e}
		case "a call of the former tag":
			calls, retire = []*Endpoint{e, with, with.With("", 1)}, with
		case "the former tag retired":
			calls = []*Endpoint{with}
		}
		for _, c := range calls {
			if !c.Begin(false) {
				t.Fatalf("%s: does not begin", name)
			}
		}
		if n := with.InFlight(); n != int64(len(calls)) {
			t.Errorf("%s: %d in flight, want %d", name, n, len(calls))
		}
		freed := 0
		retire.Retire(func() { freed++ })
		for _, c := range calls {
			if freed != 0 {
				t.Errorf("%s: freed under a call in flight", name)
			}
			if e.Begin(true) || with.Begin(true) {
				t.Errorf("%s: a call began on a retired endpoint", name)
			}
			c.End(Answered)
		}
		if freed != 1 {
			t.Errorf("%s: freed %d times, want once", name, freed)
		}
		if e.Begin(true) || with.Begin(true) || freed != 1 {
			t.Errorf("%s: began after its end, freed %d times", name, freed)
		}
	}
}

// TestRetireRace: calls, a change of the tag and the end at the same time. The
// invoker, a flag here, must never be gone under a call.
func TestRetireRace(t *testing.T) {
	for range 300 {
		e := acquire(new(Table), "10.0.0.1:1", "a")
		var gone atomic.Bool
		var frees, broken atomic.Int64
		var wg sync.WaitGroup
		for n := range 6 {
			used := e
			if n%2 == 1 {
				used = e.With("gray", 1)
			}
			wg.Go(func() {
				for used.Begin(false) {
					if gone.Load() {
						broken.Add(1)
					}
					used.End(Answered)
				}
			})
		}
		e.With("gray", 2).Retire(func() {
			gone.Store(true)
			frees.Add(1)
		})
		wg.Wait()
		if frees.Load() != 1 || broken.Load() != 0 {
			t.Fatalf("freed %d times, %d calls on a freed endpoint; want 1 and 0", frees.Load(), broken.Load())
		}
	}
}

// TestBooks: under any interleaving, marks and outliers included, what was sent
// is what was answered, refused or unknown, and each count is the callers' own.
func TestBooks(t *testing.T) {
	table := new(Table)
	list := make([]*Endpoint, 5)
	for n := range list {
		list[n] = acquire(table, fmt.Sprintf("10.0.0.1:%d", n), "a")
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	var want [5][4]atomic.Int64
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for range 3000 {
				n := r.IntN(len(list))
				e := list[n]
				switch r.IntN(50) {
				case 0:
					e.SetOutlier(r.IntN(2) == 0)
				case 1:
					table.Ledger()
				}
				if e.Begin(r.IntN(3) == 0) {
					o := Outcome(r.IntN(4))
					want[n][o].Add(1)
					e.End(o)
				}
			}
		})
	}
	wg.Wait()
	for n, got := range table.Ledger() {
		c := &want[n]
		if got.Answered != c[Answered].Load() || got.Refused != c[Refused].Load() || got.Failed != c[Failed].Load() || got.Unknown != c[Unknown].Load() {
			t.Errorf("seed %d: %+v, want %d %d %d %d", seed, got, c[0].Load(), c[1].Load(), c[2].Load(), c[3].Load())
		}
		if got.Sent != got.Answered+got.Refused+got.Unknown {
			t.Errorf("seed %d: sent %d != answered %d + refused %d + unknown %d", seed, got.Sent, got.Answered, got.Refused, got.Unknown)
		}
		if list[n].InFlight() != 0 {
			t.Errorf("seed %d: %d in flight", seed, list[n].InFlight())
		}
	}
	e := list[0]
	before := table.Ledger()[0]
	e.Begin(true)
	if got := table.Ledger()[0]; got.Sent != before.Sent+1 || got.Answered != before.Answered {
		t.Errorf("a call in flight: %+v after %+v", got, before)
	}
	e.End(Answered)
}

func TestTable(t *testing.T) {
	table := new(Table)
	a := table.Acquire("10.0.0.1:1", "a", "order", Birth{})
	for _, tc := range []struct {
		address, incarnation string
		same                 bool
	}{{"10.0.0.1:1", "a", true}, {"10.0.0.1:1", "b", false}, {"10.0.0.2:1", "a", false}, {"10.0.0.1:1", "", false}} {
		if got := table.Acquire(tc.address, tc.incarnation, "order", Birth{}); (got == a) != tc.same {
			t.Errorf("Acquire(%s, %s) gave the same instance: %t, want %t", tc.address, tc.incarnation, got == a, tc.same)
		}
	}
	e := &Endpoint{Instance: a}
	e.Begin(false)
	e.End(Answered)
	table.Release(a)
	if a.Closing() || table.Acquire("10.0.0.1:1", "a", "order", Birth{}) != a {
		t.Error("forgotten while one reference is left")
	}
	table.Release(a)
	table.Release(a)
	if !a.Closing() {
		t.Error("an instance that nobody references is not closing: its probes would go on for ever")
	}
	again := table.Acquire("10.0.0.1:1", "a", "order", Birth{})
	if again == a || again.Closing() {
		t.Error("an instance that came back after its end is the old one")
	}
	var sent int64
	for _, l := range table.Ledger() {
		sent += l.Sent
	}
	if sent != 1 {
		t.Errorf("the ledger of an instance that left says %d sent, want 1", sent)
	}
}

// TestDeparted: instances without calls leave no line; of the others the last 1,024 stay.
func TestDeparted(t *testing.T) {
	table := new(Table)
	for n := range departedKept + 10 {
		e := acquire(table, "10.0.0.1:1", fmt.Sprintf("%05d", n))
		if n%2 == 0 {
			e.Begin(false)
			e.End(Failed)
		} else {
			e.Begin(false)
			e.End(Answered)
		}
		table.Release(e.Instance)
		table.Release(table.Acquire("10.0.0.2:1", fmt.Sprintf("%05d", n), "order", Birth{}))
	}
	l := table.Ledger()
	if len(l) != departedKept || l[0].Incarnation != "00010" || l[0].Address != "10.0.0.1:1" {
		t.Errorf("%d lines, the first %+v; want %d, the first of incarnation 00010", len(l), l[0], departedKept)
	}
}

func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := new(Table)
		var told, other int
		cancel := table.Watch(func() { told++ })
		stop := table.Watch(func() { other++ })
		stop()
		i := table.Acquire("10.0.0.1:1", "0123456789abcdef", "order", Birth{Start: time.Now(), Window: time.Minute, Appeared: true})
		for n, step := range []struct {
			name string
			f    func() bool
			news bool
		}{
			{"calibrated", func() bool { i.Calibrate(true, time.Second); return true }, true},
			{"calibrated again", func() bool { i.Calibrate(true, 2*time.Second); return false }, false},
			{"outlier", func() bool { return i.SetOutlier(true) }, true},
			{"outlier again", func() bool { return i.SetOutlier(true) }, false},
			{"no outlier", func() bool { return i.SetOutlier(false) }, true},
			{"no outlier again", func() bool { return i.SetOutlier(false) }, false},
			{"still warming", func() bool { i.Factor(1, 0.1); return false }, false},
			{"warm", func() bool { time.Sleep(time.Minute); i.Factor(1, 0.1); return true }, true},
			{"warm again", func() bool { i.Factor(1, 0.1); return false }, false},
			{"closing", i.MarkClosing, true},
			{"closing again", i.MarkClosing, false},
		} {
			told = 0
			if got := step.f(); got != step.news {
				t.Errorf("step %d, %s: news = %t, want %t", n, step.name, got, step.news)
			}
			if (told == 1) != step.news || told > 1 {
				t.Errorf("step %d, %s: watchers told %d times", n, step.name, told)
			}
		}
		cancel()
		i.SetOutlier(true)
		if told != 0 || other != 0 {
			t.Errorf("cancelled watchers told %d and %d times", told, other)
		}
	})
}

// TestClosingEnds: only where nothing would tell a new process at the address from
// the old one, and only while somebody references it.
func TestClosingEnds(t *testing.T) {
	for _, tc := range []struct {
		incarnation string
		release     bool
		ends        bool
	}{
		{"", false, true}, {"@", false, true}, {"", true, false}, {"@1700000000", false, false}, {"0123456789abcdef", false, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			table := new(Table)
			var told atomic.Int32
			table.Watch(func() { told.Add(1) })
			i := table.Acquire("10.0.0.1:1", tc.incarnation, "order", Birth{})
			i.MarkClosing()
			if tc.release {
				table.Release(i)
			}
			time.Sleep(40*time.Second - 1)
			synctest.Wait()
			if !i.Closing() || i.Usable() || told.Load() != 1 {
				t.Errorf("%+v, before 40 s: closing %t, told %d times", tc, i.Closing(), told.Load())
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if i.Closing() == tc.ends || i.Usable() != tc.ends || tc.ends && told.Load() != 2 {
				t.Errorf("%+v, after 40 s: closing %t, told %d times", tc, i.Closing(), told.Load())
			}
			if over := !tc.ends; i.Over() != over {
				t.Errorf("%+v: over %t, want %t", tc, !over, over)
			}
		})
	}
}

// TestHotPathAllocs: what a call needs does not allocate.
func TestHotPathAllocs(t *testing.T) {
	e := acquire(new(Table), "10.0.0.1:1", "a")
	with := e.With("gray", 1)
	for name, f := range map[string]func(){
		"Begin, End":            func() { e.Begin(false); e.End(Answered) },
		"With: Begin, End":      func() { with.Begin(false); with.End(Answered) },
		"Factor, Usable, Named": func() { e.Factor(1, 0.1); e.Usable(); e.Named(); e.Calibrated() },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
	}
}

func BenchmarkBeginEnd(b *testing.B) {
	e := acquire(new(Table), "10.0.0.1:1", "a")
	for b.Loop() {
		if e.Begin(false) {
			e.End(Answered)
		}
	}
}
