// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// wild is an endpoint that does anything, and counts what it did as the caller's
// books should.
type wild struct {
	*node
	protocol                           string
	answered, refused, failed, unknown atomic.Int64
}

func (w *wild) Invoke(ctx context.Context, _ base.Invocation) result.Result {
	switch rand.IntN(12) {
	case 0, 1, 2, 3:
		w.answered.Add(1)
		return &result.RPCResult{Rest: "ok"}
	case 4:
		w.answered.Add(1)
		if w.protocol == constant.TriProtocol {
			return &result.RPCResult{Err: triple_protocol.NewWireError(triple_protocol.CodeBizError, errors.New("out of stock"))}
		}
		return &result.RPCResult{Err: &hessian2.GenericException{ExceptionClass: "com.shop.OutOfStock"}}
	case 5:
		w.refused.Add(1)
		return &result.RPCResult{Err: refusalOf(w.protocol, tag.RefusedOverloaded, w.e.Incarnation)}
	case 6:
		w.refused.Add(1)
		return &result.RPCResult{Err: refusalOf(w.protocol, tag.RefusedNotReady, w.e.Incarnation)}
	case 7:
		w.unknown.Add(1)
		panic("handler")
	case 8:
		w.unknown.Add(1)
		return nil
	case 9:
		w.unknown.Add(1)
		var none *result.RPCResult
		return none
	case 10:
		w.failed.Add(1)
		return &result.RPCResult{Err: base.ErrDestroyedInvoker}
	}
	w.unknown.Add(1)
	<-ctx.Done()
	return &result.RPCResult{Err: ctx.Err()}
}

// TestBooks: whatever endpoints do while lists, states and snapshots change and the
// reference is destroyed, every call is booked once: each endpoint's line says what it
// did, nothing stays in flight, and a retired endpoint is freed once.
func TestBooks(t *testing.T) {
	const callers, calls = 8, 300
	settings(t, func(c *conf.Config) {
		c.Retry.Idempotent = []string{service + "/Get"}
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = time.Hour, time.Hour // no probe
	})
	for _, protocol := range protocols {
		seed := [2]uint64{rand.Uint64(), rand.Uint64()}
		t.Logf("%s: seed %d (of what changes; the endpoints draw by themselves)", protocol, seed)
		r := newRig(t, protocol)
		var endpoints []*wild
		for n := range 12 {
			w := &wild{node: newNode(t, []string{"", "gray"}[n%2], ""), protocol: protocol}
			w.e.Invoker = w
			endpoints = append(endpoints, w)
			r.nodes = append(r.nodes, w.node)
		}
		r.set(r.nodes...)

		before, rerouted := r.budget.calls.Load(), ReadStats().Rerouted
		done := make(chan struct{})
		var changing, calling sync.WaitGroup
		changing.Go(func() { // lists, states, snapshots
			draw := rand.New(rand.NewPCG(seed[0], seed[1]))
			for {
				select {
				case <-done:
					return
				default:
				}
				w := endpoints[draw.IntN(len(endpoints))]
				switch draw.IntN(6) {
				case 0:
					w.e.SetRemoved(draw.IntN(2) == 0)
				case 1:
					w.e.SetOutlier(draw.IntN(2) == 0)
				case 2:
					from := draw.IntN(len(r.nodes))
					r.set(r.nodes[from:]...)
				case 3:
					r.set(r.nodes...)
				case 4:
					r.view.refresh()
				case 5:
					if draw.IntN(200) == 0 {
						w.e.MarkClosing()
					}
				}
			}
		})
		var ended atomic.Int64
		half := make(chan struct{}) // closed when half of the calls have ended
		for range callers {
			calling.Go(func() {
				for range calls {
					func() {
						defer func() {
							_ = recover() // some endpoints panic
							if ended.Add(1) == callers*calls/2 {
								close(half)
							}
						}()
						ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(3))*time.Millisecond)
						defer cancel()
						if rand.IntN(4) == 0 { // the caller gives up at some point of it
							go cancel()
						}
						method := []string{"Get", "Place"}[rand.IntN(2)]
						if res := r.Invoke(ctx, call1(method, wanting([]string{"", "gray"}[rand.IntN(2)]))); res == nil {
							t.Error("nothing was returned")
						}
					}()
				}
			})
		}
		calling.Go(func() { // the reference ends while calls run
			<-half
			r.Invoker.Destroy()
		})
		calling.Wait()
		close(done)
		changing.Wait()

		if got := ended.Load(); got != callers*calls {
			t.Errorf("%s: %d calls ended, want %d", protocol, got, callers*calls)
		}
		if got := r.budget.calls.Load() - before; got != callers*calls {
			t.Errorf("%s: %d calls counted, want %d", protocol, got, callers*calls)
		}
		from := int64(0)
		for _, w := range endpoints {
			b := w.books(t)
			from += b.Rerouted
			if b.Answered != w.answered.Load() || b.Refused != w.refused.Load() || b.Failed != w.failed.Load() || b.Unknown != w.unknown.Load() ||
				b.Sent != b.Answered+b.Refused+b.Unknown {
				t.Errorf("%s: books %+v; it answered %d, refused %d, failed %d, left open %d", protocol, b,
					w.answered.Load(), w.refused.Load(), w.failed.Load(), w.unknown.Load())
			}
			if n := w.e.InFlight(); n != 0 {
				t.Errorf("%s: %d in flight", protocol, n)
			}
			freed := 0
			w.e.Retire(func() { freed++ })
			w.e.Retire(func() { freed++ })
			if freed != 1 {
				t.Errorf("%s: freed %d times, want once", protocol, freed)
			}
		}
		if got := ReadStats().Rerouted - rerouted; got != from || got == 0 {
			t.Errorf("%s: %d reroutes counted, %d in the books of those they left; want as many, and some", protocol, got, from)
		}
	}
}
