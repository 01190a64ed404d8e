// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"syscall"
	"time"

	"github.com/graylane/graylane"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/internal/testkit/ramp"
)

func scaleEvents() []event {
	return []event{{name: "scale 3 to 12 to 3", do: (*fleet).scale}}
}

// Scaling: the newcomers warm up for long enough to be held against the curve while
// the guard of max-boost lifts them above it, and while it no longer does.
const (
	newcomers   = 9
	scaleWindow = 30 * time.Second
	scaleSlice  = 2 * time.Second
)

// scale: nine providers join three at once, warm up, and leave at once.
//  1. They join.
//  2. In each stretch of time, once all consumers know all, each has the share that its
//     age gives it, and all of them together have theirs.
//  3. They leave.
func (f *fleet) scale() *row {
	f.t.Helper()
	const name = "scale 3 to 12 to 3"
	f.load(f.window) // those that are there are warm
	from := time.Now()

	// 1.
	old := len(f.slots)
	short := f.window
	f.window = scaleWindow
	for n := range newcomers {
		f.slots = append(f.slots, &slot{port: ports.Free(), metadata: ports.Free()})
		f.next(old + n)
	}
	f.window = short
	pool := ramp.Pool{Curve: ramp.Curve{Window: scaleWindow, MinPercent: float64(graylane.Default().Warmup.MinPercent), Power: 1, Warm: old}, MaxBoost: graylane.Default().Warmup.MaxBoost}
	index := map[string]int{}
	for n, s := range f.slots[old:] {
		f.awaitReady(s.now)
		index[s.now.spec.Name] = n
	}
	for _, s := range f.slots[old:] {
		f.awaitUse(s.now)
		pool.Born = append(pool.Born, s.now.born)
	}

	// 2.
	joined := time.Now()
	f.load(scaleWindow)
	shares := f.shares(pool, index, joined, f.settle())

	// 3.
	var leaves []time.Time
	for _, s := range f.slots[old:] {
		at, err := s.now.Signal(syscall.SIGTERM)
		if err != nil {
			f.t.Fatal(err)
		}
		leaves = append(leaves, at)
	}
	for _, s := range f.slots[old:] {
		if err := s.now.Wait(context.Background(), patience); err != nil && !f.plain {
			f.t.Errorf("%s: %s after SIGTERM: %v", f.cell, s.now.spec.Name, err)
		}
		f.gone = append(f.gone, s.now)
	}
	r := f.row(name, from, f.settle())
	for n, s := range f.slots[old:] {
		f.left(r, s.now, leaves[n])
	}
	f.slots = f.slots[:old]
	r.noneMayFail()
	for n, s := range shares {
		if who := n % (newcomers + 1); !s.OK() {
			r.slow("newcomer %d (of %d; the last is all of them), %v to %v after all were known: %d of %d calls, want %.2f %%: z %+.1f",
				who+1, newcomers, s.From, s.To, s.Observed, s.N, 100*s.P, s.Z)
		}
	}
	f.t.Logf("%d shares of %v each, largest |z| %.2f", len(shares), scaleSlice, ramp.MaxZ(shares))
	return r
}

// shares holds the answered calls of [from, to) against the pool, slice by slice.
func (f *fleet) shares(pool ramp.Pool, index map[string]int, from, to time.Time) []ramp.Slice {
	f.mu.Lock()
	defer f.mu.Unlock()
	var hits []ramp.Hit
	for _, c := range f.calls {
		if c.Err != "" || c.Start.Before(from) || !c.Start.Before(to) {
			continue
		}
		n, ok := index[c.By]
		if !ok {
			n = -1
		}
		hits = append(hits, ramp.Hit{At: c.Start, Member: n})
	}
	return pool.Slices(from, scaleSlice, int(to.Sub(from)/scaleSlice), hits)
}
