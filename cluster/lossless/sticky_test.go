// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"math"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
)

// stickyRig is a rig whose reference is sticky.
func stickyRig(t *testing.T, tags ...string) *rig {
	t.Helper()
	r := newRig(t, constant.TriProtocol, tags...)
	r.url.SubURL.SetParam(constant.StickyKey, "true")
	r.terms.Store(newTerms(r.url.SubURL))
	return r
}

// served makes calls for each of the tags in turn and returns the nodes that served.
func (r *rig) served(t *testing.T, tags ...string) (by []int) {
	t.Helper()
	before := make([]int64, len(r.nodes))
	for n, node := range r.nodes {
		before[n] = node.calls.Load()
	}
	for range 30 {
		for _, tg := range tags {
			if err := r.call(wanting(tg)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for n, node := range r.nodes {
		if node.calls.Load() > before[n] {
			by = append(by, n)
		}
	}
	return by
}

// TestStickyWhichCalls: of a reference and of its methods.
func TestStickyWhichCalls(t *testing.T) {
	for _, tc := range []struct {
		params map[string]string
		holds  bool
	}{
		{map[string]string{constant.StickyKey: "true"}, true},
		{map[string]string{"methods.Place.sticky": "true"}, true},
		{map[string]string{constant.StickyKey: "true", "methods.Place.sticky": "false"}, false},
		{map[string]string{"methods.Other.sticky": "true"}, false},
		{map[string]string{constant.StickyKey: "false", "methods.Place.sticky": "false"}, false},
	} {
		u := common.NewURLWithOptions()
		for k, v := range tc.params {
			u.SetParam(k, v)
		}
		if s := newSticky(u); (s != nil && s.holds("Place")) != tc.holds {
			t.Errorf("%v: holds %t", tc.params, !tc.holds)
		}
	}
}

// TestSticky: calls stay on one endpoint a level until it leaves, which the very next
// call heeds.
func TestSticky(t *testing.T) {
	r := stickyRig(t, "", "", "", "gray", "gray", "gray")
	first := r.served(t, "", "gray")
	if len(first) != 2 || first[0] > 2 || first[1] < 3 {
		t.Fatalf("served by %v, want one of each level", first)
	}
	if again := r.served(t, "gray", ""); !slices.Equal(again, first) {
		t.Errorf("then by %v, before by %v", again, first)
	}
	r.nodes[first[0]].e.MarkClosing() // the snapshot does not know yet
	next := r.served(t, "", "gray")
	if len(next) != 2 || next[0] == first[0] || next[1] != first[1] {
		t.Errorf("after %d began to leave: %v", first[0], next)
	}
	r.view.refresh()
	if again := r.served(t, "", "gray"); !slices.Equal(again, next) {
		t.Errorf("with a new snapshot by %v, before by %v", again, next)
	}
}

// TestStickyLane: a lane that empties falls back to the instance that the baseline's
// calls stick to, and is back on its own when that is back.
func TestStickyLane(t *testing.T) {
	r := stickyRig(t, "", "", "", "gray")
	first := r.served(t, "", "gray")
	if len(first) != 2 || first[1] != 3 {
		t.Fatalf("served by %v, want one of the baseline and the lane's", first)
	}
	r.nodes[3].e.SetOutlier(true)
	r.view.refresh()
	if by := r.served(t, "gray"); !slices.Equal(by, first[:1]) {
		t.Errorf("the lane's calls by %v, want the baseline's %v", by, first[:1])
	}
	r.nodes[3].e.SetOutlier(false)
	r.view.refresh()
	if by := r.served(t, "gray"); !slices.Equal(by, first[1:]) {
		t.Errorf("the lane's calls by %v when it is back", by)
	}
	if by := r.served(t, ""); !slices.Equal(by, first[:1]) {
		t.Errorf("the baseline's calls by %v, before by %v", by, first[:1])
	}
}

// TestStickyWeight: another weight or tag of others changes nothing, nor does another
// weight of the one, for which a push makes a new endpoint; weight 0 empties it.
func TestStickyWeight(t *testing.T) {
	r := stickyRig(t, "", "", "", "")
	first := r.served(t, "")
	if len(first) != 1 {
		t.Fatalf("served by %v, want one", first)
	}
	weigh := func(weight float64) {
		for _, n := range r.nodes {
			n.e = n.e.With("", 1+n.e.Weight)
		}
		one := r.nodes[first[0]]
		one.e = one.e.With("", weight)
		r.set(r.nodes...)
	}
	for _, weight := range []float64{1, 1_000} {
		weigh(weight)
		if by := r.served(t, ""); !slices.Equal(by, first) {
			t.Errorf("weight %v: by %v, before by %v", weight, by, first)
		}
	}
	weigh(0)
	if by := r.served(t, ""); len(by) != 1 || by[0] == first[0] {
		t.Errorf("weight 0: by %v, before by %v", by, first)
	}
}

// TestStickyRamp: what calls stick to is chosen by the ramp: of 4,000 references one in
// 21 sticks to a newcomer among three (0.1/2.1, 5 sigma), and with all its calls.
func TestStickyRamp(t *testing.T) {
	const references = 4_000
	r := newRig(t, constant.TriProtocol)
	for n := range 3 {
		age := 2 * time.Hour
		if n == 0 {
			age = 0
		}
		r.nodes = append(r.nodes, newProvider(t, "", time.Now().Add(-age), time.Hour, 0, age == 0).node)
	}
	r.set(r.nodes...)
	r.url.SubURL.SetParam(constant.StickyKey, "true")
	newcomer := 0
	for range references {
		r.terms.Store(newTerms(r.url.SubURL))
		before := r.nodes[0].calls.Load()
		for range 3 {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		switch r.nodes[0].calls.Load() - before {
		case 3:
			newcomer++
		case 0:
		default:
			t.Fatal("a sticky reference's calls went to two")
		}
	}
	want := 0.1 / 2.1
	if got := float64(newcomer) / references; math.Abs(got-want) > 5*math.Sqrt(want*(1-want)/references) {
		t.Errorf("%.4f of the references stick to the newcomer, want %.4f", got, want)
	}
}

// gone waits until nothing holds an object any more.
func gone[T any](p weak.Pointer[T]) bool {
	for range 10 {
		runtime.GC()
		if p.Value() == nil {
			return true
		}
	}
	return false
}

// TestStickyHoldsNothing: a reference that makes no calls keeps neither an old snapshot
// alive nor an endpoint that left.
func TestStickyHoldsNothing(t *testing.T) {
	s := newSticky(common.NewURLWithOptions(common.WithParamsValue(constant.StickyKey, "true")))
	make1 := func(address string) (*endpoint.Pool, *endpoint.Endpoint) {
		e := &endpoint.Endpoint{Instance: new(endpoint.Table).Acquire(address, "a", "order", endpoint.Birth{}), Weight: 100}
		return endpoint.NewPool([]*endpoint.Endpoint{e}, endpoint.Ramp{Exponent: 1, Boost: 1}), e
	}
	pool, e := make1("192.0.2.1:1")
	s.keep("gray", pool, e)
	if s.of("gray", pool) != e {
		t.Fatal("it does not stick")
	}
	oldPool, oldEndpoint, oldInstance := weak.Make(pool), weak.Make(e), weak.Make(e.Instance)
	again := endpoint.NewPool([]*endpoint.Endpoint{e}, endpoint.Ramp{Exponent: 1, Boost: 1})
	if !gone(oldPool) {
		t.Error("the pool of an old snapshot is kept")
	}
	if s.of("gray", again) != e {
		t.Error("it does not stick in a new snapshot")
	}
	runtime.KeepAlive(again) // to here
	if !gone(oldEndpoint) || !gone(oldInstance) {
		t.Error("an endpoint that left is kept")
	}
	if other, _ := make1("192.0.2.2:1"); s.of("gray", other) != nil {
		t.Error("it sticks to one that left")
	}
}
