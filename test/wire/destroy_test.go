// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// TestDestroyUnderACall: a reference, an endpoint or its invoker ends while a call is
// with its handler. What ends by itself waits for the call or leaves it alone; only the
// destroyed client of the dubbo protocol takes its connection with it, and then the call
// ends with its timeout. Nothing stays in flight, and nobody stays behind.
func TestDestroyUnderACall(t *testing.T) {
	ways := []struct {
		name string
		end  func(r *reference, e *endpoint.Endpoint, freed func())
		free bool // the endpoint is given free
	}{
		{"reference", func(r *reference, _ *endpoint.Endpoint, _ func()) { r.Invoker.Destroy() }, false},
		{"endpoint", func(_ *reference, e *endpoint.Endpoint, freed func()) {
			e.Retire(func() { // as registry/discovery does
				go func() {
					e.Invoker.Destroy()
					freed()
				}()
			})
		}, true},
		{"invoker", func(_ *reference, e *endpoint.Endpoint, freed func()) {
			go func() {
				e.Invoker.Destroy()
				freed()
			}()
		}, true},
	}
	for n, k := range kinds {
		for m, way := range ways {
			t.Run(k.String()+"/"+way.name, func(t *testing.T) {
				inside, release := make(chan struct{}), make(chan struct{})
				p := serve(t, k, func(_ context.Context, in string) (string, error) {
					close(inside)
					<-release
					return in, nil
				})
				e := lane(t, connect.New(k.refer(t, p.name, p.addr, "2s")), incarnation(16000+10*n+m))
				timeout := "20s"
				cut := k.protocol == constant.DubboProtocol && way.name == "invoker"
				if cut {
					timeout = "1s"
				}
				r := newReference(t, k, p.name, timeout, e)
				type answer struct {
					out string
					err error
				}
				got := make(chan answer, 1)
				go func() {
					out, err := r.call(t.Context(), "x")
					got <- answer{out, err}
				}()
				<-inside
				freed := make(chan struct{})
				way.end(r, e, func() { close(freed) })
				if n := e.InFlight(); n != 1 {
					t.Errorf("%d calls in flight, want the one", n)
				}
				want := endpoint.Entry{Sent: 1, Answered: 1}
				if cut {
					a := <-got
					if a.err == nil || errors.Is(a.err, endpoint.ErrNoEndpoint) {
						t.Errorf("%q, %v, want its timeout", a.out, a.err)
					}
					want = endpoint.Entry{Sent: 1, Unknown: 1}
					close(release)
				} else {
					if way.name == "endpoint" {
						if _, err := r.call(t.Context(), "y"); !errors.Is(err, endpoint.ErrNoEndpoint) {
							t.Errorf("a call begins at an endpoint that is retired: %v", err)
						}
					}
					close(release)
					if a := <-got; a.err != nil || a.out != "x" {
						t.Errorf("%q, %v, want its answer", a.out, a.err)
					}
				}
				if way.free {
					within(t, "Destroy", func() { <-freed })
				}
				if n := e.InFlight(); n != 0 {
					t.Errorf("%d calls in flight", n)
				}
				if got := books(e); got != want {
					t.Errorf("books %+v, want %+v", got, want)
				}
				if got := p.calls.Load(); got != 1 {
					t.Errorf("executed %d times, want once", got)
				}
				nobodyIn(t, "cluster/lossless.(*Invoker).Invoke", "triple.(*TripleInvoker).Destroy", "connect.(*Flight).Join")
			})
		}
	}
}

// nobodyIn waits until no goroutine is inside any of these functions.
func nobodyIn(t *testing.T, functions ...string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := ""
		for s := range strings.SplitSeq(string(stacks), "\n\n") {
			for _, f := range functions {
				if strings.Contains(s, f) {
					left = s
				}
			}
		}
		if left == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n%s", left)
			return
		}
	}
}
