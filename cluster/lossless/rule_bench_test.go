// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
)

// BenchmarkRuleChange replaces the tag rule of the providers' application, which
// names one in ten of n by address, until the snapshot of calls is the new one. A
// caller goes on without a pause meanwhile: p99.9-ns and max-ns are what its calls
// took, from the cluster to an endpoint that answers at once; quiet-… the same
// before the first change. A call that waited for a rule would take milliseconds.
func BenchmarkRuleChange(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			urls := make([]*common.URL, n)
			for i := range urls {
				urls[i] = benchURL(b, i, 0)
			}
			r := newFleetRig(b, urls)
			defer r.Destroy()
			rules := [2]*tagrouter.Rule{benchRule(b, urls, 0), benchRule(b, urls, 5)}
			defer tagrouter.Rules.Put("order", nil)

			quiet := newCaller(b, r)
			time.Sleep(200 * time.Millisecond) // the length of the measurement
			before := quiet.stop()
			busy := newCaller(b, r)
			for turn := 0; b.Loop(); turn++ {
				old := r.view.cur.Load()
				tagrouter.Rules.Put("order", rules[turn%2])
				for r.view.cur.Load() == old {
					time.Sleep(20 * time.Microsecond) // leaves the processor to those who work
				}
			}
			during := busy.stop()
			if d, err := r.view.cur.Load().Route("gray", false); err != nil || d.Pool.Len() != n/10 {
				b.Fatalf("the rule leads to %d endpoints, %v; want %d", d.Pool.Len(), err, n/10)
			}
			b.ReportMetric(float64(before.ValueAtQuantile(99.9)), "quiet-p99.9-ns")
			b.ReportMetric(float64(during.ValueAtQuantile(99.9)), "p99.9-ns")
			b.ReportMetric(float64(during.Max()), "max-ns")
		})
	}
}

// benchRule puts each tenth provider, counted from the first, into the lane gray.
func benchRule(tb testing.TB, urls []*common.URL, first int) *tagrouter.Rule {
	tb.Helper()
	var text strings.Builder
	text.WriteString("force: false\nenabled: true\nkey: order\ntags:\n  - name: gray\n    addresses:\n")
	for n := first; n < len(urls); n += 10 {
		fmt.Fprintf(&text, "      - \"%s\"\n", urls[n].Location)
	}
	r, err := tagrouter.DecodeRule("order", "benchmark", text.String())
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// caller makes calls one after the other and notes how long they took.
type caller struct {
	took *hdrhistogram.Histogram
	end  atomic.Bool
	done chan struct{}
}

func newCaller(tb testing.TB, r *fleetRig) *caller {
	tb.Helper()
	c := &caller{took: hdrhistogram.New(100, time.Second.Nanoseconds(), 3), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		for !c.end.Load() {
			inv := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("get"), invocation.WithAttachments(map[string]any{tag.KeyTag: "gray"}))
			inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
			began := time.Now()
			res := r.Invoke(context.Background(), inv)
			took := time.Since(began)
			if err := res.Error(); err != nil {
				tb.Errorf("a call failed: %v", err)
				return
			}
			_ = c.took.RecordValue(min(took, time.Second).Nanoseconds())
		}
	}()
	return c
}

func (c *caller) stop() *hdrhistogram.Histogram {
	c.end.Store(true)
	<-c.done
	return c.took
}
