// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
)

func timeout() error {
	return triple_protocol.NewError(triple_protocol.CodeDeadlineExceeded, context.DeadlineExceeded)
}

// TestOutcomes: what is never repeated, and how the books call it.
func TestOutcomes(t *testing.T) {
	business := triple_protocol.NewError(triple_protocol.CodeInternal, errors.New("out of stock"))
	for _, tc := range []struct {
		name     string
		protocol string
		err      error
		method   string
		unknown  string // setting
		retries  string
		attempts int64
		outcome  endpoint.Outcome
	}{
		{"timeout", "tri", timeout(), "Place", "idempotent", "", 1, endpoint.Unknown},
		{"timeout of a listed method", "tri", timeout(), "Get", "idempotent", "", 2, endpoint.Unknown},
		{"case counts", "tri", timeout(), "get", "idempotent", "", 1, endpoint.Unknown},
		{"listed, but never", "tri", timeout(), "Get", "never", "", 1, endpoint.Unknown},
		{"dubbo without retries", "tri", timeout(), "Place", "dubbo", "", 1, endpoint.Unknown},
		{"dubbo with retries", "tri", timeout(), "Place", "dubbo", "2", 2, endpoint.Unknown},
		{"retries alone", "tri", timeout(), "Place", "idempotent", "2", 1, endpoint.Unknown},
		{"reset after the write", "dubbo", syscall.ECONNRESET, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"a word of the text proves nothing", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, errors.New("connection refused")), "Place", "idempotent", "", 1, endpoint.Unknown},
		{"business, not typed as from the wire", "tri", business, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"client closed", "dubbo", base.ErrClientClosed, "Place", "never", "", 2, endpoint.Failed},
		{"destroyed", "dubbo", base.ErrDestroyedInvoker, "Place", "never", "", 2, endpoint.Failed},
		{"no session", "dubbo", errors.New("session not exist"), "Place", "never", "", 2, endpoint.Failed},
		{"session closed before the write", "dubbo", errors.New("session session{1} session Already Closed"), "Place", "never", "", 2, endpoint.Failed},
		{"connection refused", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, syscall.ECONNREFUSED), "Place", "never", "", 2, endpoint.Failed},
	} {
		settings(t, func(c *conf.Config) {
			c.Retry.Unknown = tc.unknown
			c.Retry.Idempotent = []string{service + "/Get"}
			c.Outlier.BaseEjectionTime = time.Hour
		})
		r := newRig(t, tc.protocol, "", "")
		if tc.retries != "" {
			r.url.SubURL.SetParam(constant.RetriesKey, tc.retries)
			r.view.close()
			r.Invoker = New(r, r)
			t.Cleanup(r.view.close)
		}
		var first atomic.Pointer[node]
		for _, n := range r.nodes {
			n.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if first.CompareAndSwap(nil, n) {
					return &result.RPCResult{Err: tc.err}
				}
				return ok(ctx, inv)
			}
		}
		err := r.Invoke(context.Background(), call1(tc.method, nil)).Error()
		if tc.attempts == 1 && !errors.Is(err, tc.err) || tc.attempts == 2 && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := r.total(); got != tc.attempts {
			t.Errorf("%s: %d attempts, want %d", tc.name, got, tc.attempts)
		}
		b := first.Load().books(t)
		want := endpoint.Entry{Service: "order", Address: b.Address, Incarnation: b.Incarnation}
		switch tc.outcome {
		case endpoint.Failed:
			want.Failed, want.Rerouted = 1, 1
			if !first.Load().e.Outlier() {
				t.Errorf("%s: no outlier", tc.name)
			}
		default:
			want.Sent, want.Unknown = 1, 1
		}
		if b != want {
			t.Errorf("%s: books %+v, want %+v", tc.name, b, want)
		}
		first.Load().e.MarkClosing() // ends its probe
	}
}
