// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"math"
	"testing"
	"testing/synctest"
	"time"
)

const named = "0123456789abcdef"

// TestRampOnATimeLine: linear, floor 10 %, window 100 s, one nanosecond before
// and exactly at each edge.
func TestRampOnATimeLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := new(Table).Acquire("10.0.0.1:1", named, "order", Birth{Start: time.Now(), Window: 100 * time.Second, Appeared: true})
		born := time.Now()
		const ns = 1e-11 // of the window
		for _, tc := range []struct {
			at   time.Duration // age
			want float64
		}{
			{0, 0.1},
			{1, 0.1},
			{10*time.Second - 1, 0.1},
			{10 * time.Second, 0.1},
			{10*time.Second + 1, 0.1 + ns},
			{50*time.Second - 1, 0.5 - ns},
			{50 * time.Second, 0.5},
			{100*time.Second - 1, 1 - ns},
			{100 * time.Second, 1},
			{time.Hour, 1},
		} {
			time.Sleep(tc.at - time.Since(born))
			if age := i.Age(); age != tc.at {
				t.Errorf("age %v, want %v", age, tc.at)
			}
			if got := i.Factor(1, 0.1); math.Abs(got-tc.want) > ns/10 {
				t.Errorf("age %v: factor %.13f, want %.13f", tc.at, got, tc.want)
			}
			if got, want := i.Warm(), tc.at >= 100*time.Second; got != want {
				t.Errorf("age %v: warm = %t, want %t", tc.at, got, want)
			}
		}
	})
}

// TestSkew: an instance that this process saw appear has the age that its own
// clock measures, whatever the provider's clock says; of one that was already
// there the age is wrong by the skew until its first answer.
func TestSkew(t *testing.T) {
	const window = 100 * time.Second
	for _, tc := range []struct {
		name     string
		skew     time.Duration // provider's clock minus ours
		true     time.Duration // real age
		appeared bool
		before   float64 // factor before the first answer
	}{
		{"appeared, equal clocks", 0, 0, true, 0.1},
		{"appeared, provider ahead", time.Hour, 0, true, 0.1},
		{"appeared, provider behind", -time.Hour, 0, true, 0.1},
		{"there, equal clocks", 0, 40 * time.Second, false, 0.4},
		{"there, provider ahead", time.Hour, 40 * time.Second, false, 0.1},
		{"there, provider behind", -time.Hour, 40 * time.Second, false, 1},
		{"there long, provider ahead", time.Hour, 10 * time.Hour, false, 1},
		{"there some minutes, provider ahead", time.Hour, 10 * time.Minute, false, 0.1},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(24 * time.Hour) // the process is older than any age here
			table := new(Table)
			b := Birth{Start: time.Now().Add(tc.skew - tc.true), Window: window, Appeared: tc.appeared}
			i := table.Acquire("10.0.0.1:1", named, "order", b)
			if got := i.Factor(1, 0.1); math.Abs(got-tc.before) > 1e-9 {
				t.Errorf("%s: factor %v before the first answer, want %v", tc.name, got, tc.before)
			}
			want := 1.0
			if tc.true < window {
				i.Calibrate(true, tc.true)
				want = max(0.1, float64(tc.true)/float64(window))
			} else {
				i.Calibrate(false, 0)
			}
			if got := i.Factor(1, 0.1); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: factor %v after the first answer, want %v", tc.name, got, want)
			}
			i.Calibrate(true, 0) // only the first counts
			if got := i.Factor(1, 0.1); math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: factor %v after the second answer, want %v", tc.name, got, want)
			}
		})
	}
}

// TestRestartedConsumer: a new process finds an old fleet warm, and one that is
// in the middle of its ramp where it is.
func TestRestartedConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		table := new(Table)
		old := table.Acquire("10.0.0.1:1", named, "order", Birth{Start: time.Now().Add(-50 * time.Minute), Window: 2 * time.Minute})
		young := table.Acquire("10.0.0.2:1", named, "order", Birth{Start: time.Now().Add(-30 * time.Second), Window: 2 * time.Minute})
		if !old.Warm() || old.Factor(1, 0.1) != 1 {
			t.Error("an instance of 50 minutes is taken for new")
		}
		if got := young.Factor(1, 0.1); math.Abs(got-0.25) > 1e-9 {
			t.Errorf("factor at a quarter of the window = %v, want 0.25", got)
		}
	})
}

// TestUnknownAge: no time or no window is warm, and a silent answer proves
// nothing of a peer that does not publish its incarnation.
func TestUnknownAge(t *testing.T) {
	for _, tc := range []struct {
		name        string
		incarnation string
		birth       Birth
		warm, after bool // after an answer without a mark
	}{
		{"no time", named, Birth{Window: time.Hour, Appeared: true}, true, true},
		{"no window", named, Birth{Start: time.Now(), Appeared: true}, true, true},
		{"negative window", named, Birth{Start: time.Now(), Window: -1, Appeared: true}, true, true},
		{"a peer that would have told", named, Birth{Start: time.Now(), Window: time.Hour}, false, true},
		{"Java", "@1790000000123", Birth{Start: time.Now(), Window: time.Hour}, false, false},
		{"no incarnation", "", Birth{Start: time.Now(), Window: time.Hour}, false, false},
	} {
		i := new(Table).Acquire("10.0.0.1:1", tc.incarnation, "order", tc.birth)
		if got := i.Warm(); got != tc.warm {
			t.Errorf("%s: warm = %t, want %t", tc.name, got, tc.warm)
		}
		i.Calibrate(false, 0)
		if got := i.Warm(); got != tc.after {
			t.Errorf("%s: warm after an answer = %t, want %t", tc.name, got, tc.after)
		}
		if !i.Calibrated() {
			t.Errorf("%s: an answer did not calibrate", tc.name)
		}
	}
}

// TestNextWarm: the pool says when its guard must be computed anew, and the
// guard is that of the endpoints that were warm when it was built.
func TestNextWarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := new(Table)
		make1 := func(address string, window time.Duration) *Endpoint {
			return &Endpoint{Instance: table.Acquire(address, named, "order", Birth{Start: time.Now(), Window: window, Appeared: window > 0}), Weight: 100}
		}
		warmOne := make1("10.0.0.1:1", 0)
		short, long := make1("10.0.0.2:1", 10*time.Second), make1("10.0.0.3:1", 30*time.Second)
		list := []*Endpoint{warmOne, short, long}
		ramp := Ramp{Exponent: 1, Floor: 0, Boost: 1.5}
		// One warm of three: f >= (300/1.5 - 100)/200 = 1/2.
		p := NewPool(list, ramp)
		if got := p.NextWarm(); got != 10*time.Second {
			t.Errorf("next warm after %v, want 10s", got)
		}
		for e, want := range map[*Endpoint]float64{warmOne: 1, short: 0.5, long: 0.5} {
			if got := p.Factor(e); math.Abs(got-want) > 1e-9 {
				t.Errorf("factor of %s = %v, want %v", e.Address, got, want)
			}
		}
		time.Sleep(10*time.Second - 1)
		if p.NextWarm() != 10*time.Second || NewPool(list, ramp).NextWarm() != 1 {
			t.Error("one nanosecond before the edge the next is not one nanosecond away")
		}
		time.Sleep(time.Nanosecond)
		// Two warm of three: (300/1.5 - 200)/100 = 0; the third is at a third.
		p = NewPool(list, ramp)
		if got := p.NextWarm(); got != 20*time.Second {
			t.Errorf("next warm after %v, want 20s", got)
		}
		if f, g := p.Factor(short), p.Factor(long); f != 1 || math.Abs(g-1.0/3) > 1e-9 {
			t.Errorf("factors %v and %v, want 1 and 1/3", f, g)
		}
		time.Sleep(20 * time.Second)
		if p = NewPool(list, ramp); p.NextWarm() != 0 {
			t.Errorf("all are warm, next after %v", p.NextWarm())
		}
	})
}

// TestNilPool: a nil pool is empty.
func TestNilPool(t *testing.T) {
	var p *Pool
	if p.Len() != 0 || p.All() != nil || p.NextWarm() != 0 {
		t.Error("a nil pool is not empty")
	}
}
