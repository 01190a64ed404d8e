// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/directory/static"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// TestMarks: a closing mark takes the instance out at once, by incarnation.
func TestMarks(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "")
		r.nodes[0].marks(protocol, "closing;ffffffffffffffff")
		r.nodes[1].marks(protocol, "unheard-of;1")
		for range 20 {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		if r.nodes[0].e.Closing() || r.nodes[1].e.Closing() {
			t.Fatalf("%s: a mark of another incarnation, or an unknown one, took an instance out", protocol)
		}
		r.nodes[0].marks(protocol, tag.StateClosing+";"+r.nodes[0].e.Incarnation)
		for !r.nodes[0].e.Closing() {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		before := r.nodes[0].calls.Load()
		for range 50 {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.nodes[0].calls.Load(); got != before {
			t.Errorf("%s: %d calls after the mark", protocol, got-before)
		}
	}
}

// TestNoCallAfterTheMark needs no clock: a flag is raised when a caller has
// processed the mark (a call returned and the instance closes); no call that begins later may reach
// the incarnation, whichever reference or goroutine makes it.
func TestNoCallAfterTheMark(t *testing.T) {
	for _, protocol := range protocols {
		for range 20 {
			r := newRig(t, protocol, "", "")
			leaving := r.nodes[0]
			leaving.marks(protocol, tag.StateClosing+";"+leaving.e.Incarnation)
			var processed atomic.Bool
			var late atomic.Int64
			mark := leaving.answer
			type began struct{}
			leaving.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if ctx.Value(began{}) == true {
					late.Add(1)
				}
				return mark(ctx, inv)
			}
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					for range 100 {
						was := processed.Load()
						ctx := context.WithValue(context.Background(), began{}, was)
						if err := r.Invoke(ctx, call1("Place", nil)).Error(); err != nil {
							t.Error(err)
						}
						if leaving.e.Closing() { // by this answer, or by an earlier one
							processed.Store(true)
						}
					}
				})
			}
			wg.Wait()
			if late.Load() > 0 {
				t.Fatalf("%s: %d calls began after the mark was processed", protocol, late.Load())
			}
		}
	}
}

// peer is a provider behind a direct URL.
type peer struct {
	*base.BaseInvoker
	calls   int
	closing bool
}

func (p *peer) Invoke(context.Context, base.Invocation) result.Result {
	p.calls++
	res := &result.RPCResult{Rest: "ok"}
	if p.closing {
		res.AddAttachment(tag.KeyState, tag.StateClosing+";0123456789abcdef")
	}
	return res
}

// TestDirectURLRestarts: of several direct URLs, one whose provider leaves gets no
// calls for a while; the process that is then there is called again, for nothing
// tells the two apart.
func TestDirectURLRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var list []base.Invoker
		var peers []*peer
		for port := range 2 {
			p := &peer{BaseInvoker: base.NewBaseInvoker(common.NewURLWithOptions(common.WithProtocol("test"), common.WithIp("198.51.100.7"),
				common.WithPort(strconv.Itoa(9000+port)), common.WithPath(service), common.WithInterface(service)))}
			peers = append(peers, p)
			list = append(list, p)
		}
		d := static.NewDirectory(list)
		i := New(d, newFixed(d))
		defer i.view.close()
		calls := func() (first, second int) {
			peers[0].calls, peers[1].calls = 0, 0
			for range 100 {
				if err := i.Invoke(t.Context(), call1("Place", map[string]any{})).Error(); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			return peers[0].calls, peers[1].calls
		}
		peers[0].closing = true
		if first, _ := calls(); first != 1 { // none of 100: 1 in 2^100
			t.Errorf("%d calls to the one that said once that it leaves", first)
		}
		time.Sleep(39 * time.Second)
		if first, _ := calls(); first != 0 {
			t.Errorf("%d calls to it 39 s later", first)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if first, _ := calls(); first != 1 {
			t.Errorf("%d calls when it still leaves, want 1: it says so again", first)
		}
		peers[0].closing = false // another process, which says nothing
		time.Sleep(41 * time.Second)
		synctest.Wait()
		if first, second := calls(); first == 0 || second == 0 {
			t.Errorf("after its restart %d and %d calls, want some to both", first, second)
		}
	})
}

// TestWarmingMark: the first answer sets the age; no mark says warm.
func TestWarmingMark(t *testing.T) {
	for _, protocol := range protocols {
		for _, tc := range []struct {
			state string
			warm  bool
			age   time.Duration
		}{{"warming;30000", false, 30 * time.Second}, {"warming;-1", false, 0}, {"warming;x", false, 0}, {"", true, 0}} {
			r := newRig(t, protocol)
			n := newNode(t, "", "")
			id := incarnationOf(addresses.Add(1))
			i := endpoint.Shared.Acquire(n.e.Address, id, "order", endpoint.Birth{Start: time.Now(), Window: time.Minute})
			t.Cleanup(func() { endpoint.Shared.Release(i) })
			n.e = &endpoint.Endpoint{Instance: i, Invoker: n, Weight: 100}
			if tc.state != "" {
				n.marks(protocol, tc.state)
			}
			r.set(n)
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
			if got := i.Warm(); got != tc.warm {
				t.Errorf("%s, mark %q: warm = %t, want %t", protocol, tc.state, got, tc.warm)
			}
			if !tc.warm && (i.Age() < tc.age || i.Age() > tc.age+10*time.Second) {
				t.Errorf("%s, mark %q: age %v, want %v", protocol, tc.state, i.Age(), tc.age)
			}
		}
	}
}

// TestGenericMark: dubbo-go's filter for generic calls drops the trailer, so that an
// answer without a mark does not say that the instance is warm.
func TestGenericMark(t *testing.T) {
	r := newRig(t, constant.TriProtocol)
	r.url.SubURL.SetParam(constant.GenericKey, "true")
	r.Invoker = New(r, r)
	t.Cleanup(r.view.close)
	n := newNode(t, "", "")
	i := endpoint.Shared.Acquire(n.e.Address, incarnationOf(addresses.Add(1)), "order", endpoint.Birth{Start: time.Now(), Window: time.Minute})
	t.Cleanup(func() { endpoint.Shared.Release(i) })
	n.e = &endpoint.Endpoint{Instance: i, Invoker: n, Weight: 100}
	r.set(n)
	if err := r.call(nil); err != nil {
		t.Fatal(err)
	}
	if i.Warm() || i.Calibrated() {
		t.Errorf("warm %t, calibrated %t: nobody said anything", i.Warm(), i.Calibrated())
	}
}
