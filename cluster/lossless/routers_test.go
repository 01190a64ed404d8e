// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// keeping is a router of the user's that leaves some invokers only.
type keeping struct {
	keeps func(base.Invoker) bool
	hears func([]base.Invoker)
}

func (*keeping) URL() *common.URL { return nil }
func (*keeping) Priority() int64  { return 10 }
func (k *keeping) Notify(list []base.Invoker) {
	if k.hears != nil {
		k.hears(list)
	}
}

func (k *keeping) Route(list []base.Invoker, _ *common.URL, _ base.Invocation) []base.Invoker {
	return slices.DeleteFunc(list, func(i base.Invoker) bool { return !k.keeps(i) }) // in place, as routers may
}

// own is made anew by each reference; nil: there is no such router.
var own *keeping

type ownFactory struct{}

func (ownFactory) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) {
	if own == nil {
		return nil, nil //nolint:nilnil // how dubbo-go's factories decline
	}
	return own, nil
}

func init() {
	extension.SetRouterFactory("own", func() router.PriorityRouterFactory { return ownFactory{} })
}

// TestOwnRouter: a router of the user's applies to what the ladder left, and what
// it leaves is all there is: it moves no call to another level.
func TestOwnRouter(t *testing.T) {
	var r *rig
	kept := map[int]bool{}
	own = &keeping{keeps: func(i base.Invoker) bool { return kept[slices.Index(r.nodes, i.(*node))] }}
	t.Cleanup(func() { own = nil })
	r = newRig(t, constant.TriProtocol, "", "", "gray", "gray") // 0, 1 baseline; 2, 3 gray
	t.Cleanup(r.Invoker.Destroy)
	for _, tc := range []struct {
		name string
		keep []int
		tag  string
		want []int // who may serve; none: an error
	}{
		{"half of the lane", []int{2}, "gray", []int{2}},
		{"half of the baseline", []int{1, 2}, "", []int{1}},
		{"all", []int{0, 1, 2, 3}, "gray", []int{2, 3}},
		{"nothing of the lane, all of the baseline", []int{0, 1}, "gray", nil},
		{"nothing", nil, "", nil},
		{"half again", []int{3}, "gray", []int{3}},
		{"a tag without lane", []int{0}, "blue", []int{0}},
	} {
		clear(kept)
		for _, n := range tc.keep {
			kept[n] = true
		}
		before := make([]int64, len(r.nodes))
		for n, node := range r.nodes {
			before[n] = node.calls.Load()
		}
		for range 60 {
			err := r.call(map[string]any{tag.KeyTag: tc.tag})
			if len(tc.want) == 0 && (!errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available")) || len(tc.want) > 0 && err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		var got []int
		for n, node := range r.nodes {
			if node.calls.Load() > before[n] {
				got = append(got, n)
			}
		}
		if !slices.Equal(got, tc.want) { // a miss of 60 in two is 1 in 2^59
			t.Errorf("%s: served by %v, want %v", tc.name, got, tc.want)
		}
	}
	// A refusal is rerouted within what the router leaves.
	clear(kept)
	kept[0], kept[1] = true, true
	r.nodes[0].refuses(constant.TriProtocol, tag.RefusedOverloaded)
	for range 20 {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	kept[1] = false
	if err := r.call(nil); err == nil {
		t.Error("rerouted to one that the router does not leave")
	}
}

// TestOwnRouterHears: of a list that is published while it hears of the first.
func TestOwnRouterHears(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "")
	second := newNode(t, "", "")
	heard := make(chan int, 10)
	own = &keeping{hears: func(list []base.Invoker) {
		if len(list) == 1 {
			r.set(r.nodes[0], second)
		}
		heard <- len(list)
	}}
	t.Cleanup(func() { own = nil })
	n := newNarrower(r, r)
	t.Cleanup(n.close)
	for {
		select {
		case got := <-heard:
			if got == 2 {
				return
			}
		case <-time.After(5 * time.Second): // only a test that fails waits so long
			t.Fatal("the router did not hear of the second list")
		}
	}
}

// TestOwnRouterCosts: the same result is not built twice.
func TestOwnRouterCosts(t *testing.T) {
	var r *rig
	own = &keeping{keeps: func(i base.Invoker) bool { return i == base.Invoker(r.nodes[0]) }}
	t.Cleanup(func() { own = nil })
	r = newRig(t, constant.TriProtocol, "", "")
	t.Cleanup(r.Invoker.Destroy)
	d, err := r.view.cur.Load().Route("", false)
	if err != nil {
		t.Fatal(err)
	}
	first := r.routers.narrow(d.Pool, call1("Place", nil))
	if again := r.routers.narrow(d.Pool, call1("Place", nil)); again != first || first.Len() != 1 {
		t.Errorf("built twice, %d endpoints", first.Len())
	}
	// Calls for which the routers leave other parts of the lane, in turn.
	keep := func(n int) *endpoint.Pool {
		own.keeps = func(i base.Invoker) bool { return i == base.Invoker(r.nodes[n]) }
		return r.routers.narrow(d.Pool, call1("Place", nil))
	}
	second := keep(1)
	for range 3 {
		if keep(0) != first || keep(1) != second || first == second {
			t.Fatal("calls of two kinds take the results from each other")
		}
	}
	// What belongs to a snapshot that is gone is dropped with the next new result.
	r.set(r.nodes...)
	d, err = r.view.cur.Load().Route("", false)
	if err != nil {
		t.Fatal(err)
	}
	keep(0)
	if known := *r.routers.known.Load(); len(known) != 1 || known[0].of != d.Pool {
		t.Errorf("%d results are kept", len(known))
	}
}

// BenchmarkKnown: what calls look up is found in the same time in a lane of 10 and of
// 10,000: the one that calls stick to, and in mode observe the one that served.
func BenchmarkKnown(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		table := new(endpoint.Table)
		list := make(fixed, n)
		for i := range list {
			u := common.NewURLWithOptions(common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(i)))
			list[i] = &endpoint.Endpoint{Instance: table.Acquire(u.Location, "a", "order", endpoint.Birth{}), Invoker: base.NewBaseInvoker(u), Weight: 100}
		}
		pool, last := endpoint.NewPool(list, endpoint.Ramp{Exponent: 1, Boost: 1}), list[n-1]
		b.Run(fmt.Sprintf("sticky/n=%d", n), func(b *testing.B) {
			s := newSticky(common.NewURLWithOptions(common.WithParamsValue(constant.StickyKey, "true")))
			s.keep("", pool, last)
			for b.Loop() {
				if s.of("", pool) != last {
					b.Fatal("lost")
				}
			}
		})
		b.Run(fmt.Sprintf("observe/n=%d", n), func(b *testing.B) {
			o := &observed{decide: &Invoker{view: &view{src: list}}}
			for b.Loop() {
				if o.find(last.Invoker) != last {
					b.Fatal("lost")
				}
			}
		})
	}
}
