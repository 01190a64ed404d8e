// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"strings"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/server"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/connect"
)

// accepted is what the provider filter of this process has booked.
func accepted() (accepted, refused uint64) {
	for _, c := range shutdown.Process().Snapshot().Callers {
		accepted += c.Accepted
		refused += c.Refused
	}
	return accepted, refused
}

// one lets each service have one call.
type one struct{ seen sync.Map }

// IsAllowable implements dubbo-go's TpsLimiter.
func (o *one) IsAllowable(u *common.URL, _ base.Invocation) bool {
	_, again := o.seen.LoadOrStore(u.ServiceKey(), true)
	return !again
}

// TestOverload: what dubbo-go's limits reject is refused, typed, sent elsewhere, and
// booked as refused on both sides; the handler never saw it.
func TestOverload(t *testing.T) {
	limiter := &one{}
	extension.SetTpsLimiter("test-one", func() filter.TpsLimiter { return limiter })
	for n, limit := range []struct {
		name string
		opts []server.ServiceOption
	}{
		{"tps", []server.ServiceOption{server.WithTpsLimiter("test-one")}},
		{"execute", []server.ServiceOption{server.WithExecuteLimit("1")}},
	} {
		for m, k := range kinds {
			t.Run(k.String()+"/"+limit.name, func(t *testing.T) {
				inside, release := make(chan struct{}, 100), make(chan struct{})
				limited := serve(t, k, func(_ context.Context, in string) (string, error) {
					inside <- struct{}{}
					<-release
					return in, nil
				}, limit.opts...)
				free := serve(t, k, echo)
				i := connect.New(k.refer(t, limited.name, limited.addr, "20s"))
				e := lane(t, i, shutdown.Incarnation())
				r := newReference(t, k, limited.name, "20s", e)

				first := make(chan error, 1)
				go func() {
					_, err := r.call(t.Context(), "first")
					first <- err
				}()
				<-inside
				inBefore, outBefore := accepted()
				_, err := r.call(t.Context(), "second")
				if err == nil || !strings.Contains(err.Error(), "overloaded") {
					t.Errorf("the caller sees %v, want the refusal", err)
				}
				in, out := accepted()
				if in != inBefore || out != outBefore+1 {
					t.Errorf("the provider booked %d accepted, %d refused; want 0 and 1", in-inBefore, out-outBefore)
				}
				if got := books(e); got.Refused != 1 || got.Sent != 2 {
					t.Errorf("the caller's books: %+v, want 2 sent, 1 refused", got)
				}
				if e.Outlier() || e.Closing() {
					t.Error("an overloaded endpoint was put out")
				}

				// With another endpoint, and a budget, the caller sees nothing of it.
				other := lane(t, connect.New(k.refer(t, free.name, free.addr, "20s")), incarnation(3000+10*n+m))
				both := newReference(t, k, limited.name, "20s", e, other)
				rerouted := lossless.ReadStats().Rerouted
				for books(e).Refused == 1 {
					if _, err := both.call(t.Context(), "third"); err != nil {
						t.Fatalf("not rerouted: %v", err)
					}
				}
				if got := lossless.ReadStats().Rerouted - rerouted; got != 1 {
					t.Errorf("rerouted %d times, want 1", got)
				}
				close(release)
				if err := <-first; err != nil {
					t.Error(err)
				}
				if got := limited.calls.Load(); got != 1 {
					t.Errorf("the handler ran %d times, want once", got)
				}
				if got := books(e); got != (endpoint.Entry{Sent: 3, Answered: 1, Refused: 2, Rerouted: 1}) {
					t.Errorf("books %+v", got)
				}
			})
		}
	}
}
