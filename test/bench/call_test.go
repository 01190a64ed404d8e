// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/filter/tag"
)

// sizes are the numbers of providers of one service.
var sizes = []int{1, 10, 100, 1000, 10000}

// BenchmarkCall is one call with a tag, from the client's CallUnary to the
// endpoint's Invoke and back. It runs in the children that TestMain starts.
// cpu-ns/op is the processor time of all threads, which a machine that is busy
// with other things does not stretch as it does ns/op.
func BenchmarkCall(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprintf("variant=%s/n=%d", os.Getenv(envVariant), n), func(b *testing.B) {
			conn := dial(b, n)
			ctx := context.WithValue(context.Background(), constant.AttachmentKey, map[string]any{tag.KeyTag: gray})
			check(ctx, b, conn, n)
			runtime.GC() // what the dial left is not the calls'
			var req, resp string
			b.ReportAllocs()
			before := cpuTime()
			for b.Loop() {
				if err := conn.CallUnary(ctx, []any{&req}, &resp, "get"); err != nil {
					b.Fatal(err)
				}
			}
			if used := cpuTime() - before; used > 0 {
				b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "cpu-ns/op")
			}
		})
	}
}

// check makes sure that what is measured works: a call reaches its lane. It calls
// so often that all but one in 20,000 endpoints of the lane have answered once, for
// the first call to an endpoint costs more; plain dubbo-go, to which no call is the
// first, would take minutes for it.
func check(ctx context.Context, tb testing.TB, conn *client.Connection, n int) {
	tb.Helper()
	calls := max(20, n)
	if os.Getenv(envVariant) == plain {
		calls = 20
	}
	watched = true
	defer func() { watched = false }()
	for range calls {
		servedBy = nil
		var req, resp string
		if err := conn.CallUnary(ctx, []any{&req}, &resp, "get"); err != nil {
			tb.Fatal(err)
		}
		if servedBy == nil || servedBy.GetParam(constant.Tagkey, "") != gray {
			tb.Fatalf("a call with tag %q went to %v", gray, servedBy)
		}
	}
}
