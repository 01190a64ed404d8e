// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"testing"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/connect"
)

// TestHandlerPanics: a handler that panics ends its call on both sides: nothing stays
// in flight, both book one call.
func TestHandlerPanics(t *testing.T) {
	for n, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			p := serve(t, k, func(_ context.Context, in string) (string, error) {
				if in == "panic" {
					panic("a fault of the handler")
				}
				return in, nil
			})
			e := lane(t, connect.New(k.refer(t, p.name, p.addr, "3s")), incarnation(13000+n))
			r := newReference(t, k, p.name, "3s", e)
			before, _ := accepted()
			if _, err := r.call(t.Context(), "panic"); err == nil {
				t.Error("the caller sees nothing of it")
			}
			want := endpoint.Entry{Sent: 1, Answered: 1} // dubbo-go catches it, and answers with an error
			if k == (kind{"tri", "idl"}) {
				want = endpoint.Entry{Sent: 1, Unknown: 1} // net/http does, and resets the stream: no proof
			}
			if got := books(e); got != want {
				t.Errorf("books %+v, want %+v", got, want)
			}
			if n := e.InFlight(); n != 0 {
				t.Errorf("the caller has %d calls in flight", n)
			}
			if got := p.calls.Load(); got != 1 {
				t.Errorf("executed %d times, want once", got)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := shutdown.Process().WaitIdle(ctx); err != nil || shutdown.Process().InFlight() != 0 {
				t.Errorf("%d calls in flight: %v", shutdown.Process().InFlight(), err)
			}
			if got, _ := accepted(); got != before+1 {
				t.Errorf("the provider booked %d calls, want one", got-before)
			}
			if out, err := r.call(t.Context(), "y"); err != nil || out != "y" {
				t.Errorf("the next call: %q, %v", out, err)
			}
		})
	}
}
