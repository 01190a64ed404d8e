// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
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
		{"dubbo with retries", "tri", timeout(), "Place", "dubbo", "retries=2", 2, endpoint.Unknown},
		{"retries alone", "tri", timeout(), "Place", "idempotent", "retries=2", 1, endpoint.Unknown},
		{"reset after the write", "dubbo", syscall.ECONNRESET, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"a word of the text proves nothing", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, errors.New("connection refused")), "Place", "idempotent", "", 1, endpoint.Unknown},
		{"business, not typed as from the wire", "tri", business, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"retries of the method", "tri", timeout(), "Pay", "dubbo", "methods.Pay.retries=1", 2, endpoint.Unknown},
		{"no retries of the method", "tri", timeout(), "Pay", "dubbo", "methods.Pay.retries=0&retries=2", 1, endpoint.Unknown},
		{"no retries of the call", "tri", timeout(), "Place", "dubbo", "retries=2&call=0", 1, endpoint.Unknown},
		{"retries of the call", "tri", timeout(), "Place", "dubbo", "call=1", 2, endpoint.Unknown},
		{"listed, but no retries wanted", "tri", timeout(), "Get", "idempotent", "retries=0", 1, endpoint.Unknown},
		{"business error with retries", "dubbo", &hessian2.GenericException{ExceptionClass: "com.shop.OutOfStock"}, "Place", "dubbo", "retries=2", 1, endpoint.Answered},
		{"no result", "tri", ErrNoResult, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"client closed", "dubbo", base.ErrClientClosed, "Place", "never", "", 2, endpoint.Failed},
		{"destroyed", "dubbo", base.ErrDestroyedInvoker, "Place", "never", "", 2, endpoint.Failed},
		{"refused by a port that once was", "dubbo", syscall.ECONNREFUSED, "Place", "never", "", 1, endpoint.Unknown},
		{"dial", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), "Place", "never", "", 2, endpoint.Failed},
	} {
		settings(t, func(c *conf.Config) {
			c.Retry.Unknown = tc.unknown
			c.Retry.Idempotent = []string{service + "/Get"}
			c.Outlier.BaseEjectionTime = time.Hour
		})
		r := newRig(t, tc.protocol, "", "")
		attachments := map[string]any{}
		if tc.retries != "" {
			for p := range strings.SplitSeq(tc.retries, "&") {
				k, v, _ := strings.Cut(p, "=")
				if k == "call" {
					attachments[constant.RetriesKey] = v
					continue
				}
				r.url.SubURL.SetParam(k, v)
			}
			r.view.close()
			r.Invoker = New(r, r)
			t.Cleanup(r.view.close)
		}
		var first atomic.Pointer[node]
		for _, n := range r.nodes {
			n.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if first.CompareAndSwap(nil, n) {
					if tc.err == ErrNoResult { //nolint:errorlint // this very value
						return nil
					}
					return &result.RPCResult{Err: tc.err}
				}
				return ok(ctx, inv)
			}
		}
		before := ReadStats()
		err := r.Invoke(context.Background(), call1(tc.method, attachments)).Error()
		if open := ReadStats().Unknown - before.Unknown; (open == 1) != (tc.attempts == 1 && tc.outcome == endpoint.Unknown) {
			t.Errorf("%s: %d calls counted as returned with an unknown outcome", tc.name, open)
		}
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
			if own := errors.Is(tc.err, base.ErrDestroyedInvoker); first.Load().e.Outlier() == own {
				t.Errorf("%s: outlier %t, want %t", tc.name, !own, own)
			}
		case endpoint.Answered:
			want.Sent, want.Answered = 1, 1
		default:
			want.Sent, want.Unknown = 1, 1
		}
		if b != want {
			t.Errorf("%s: books %+v, want %+v", tc.name, b, want)
		}
		first.Load().e.MarkClosing() // ends its probe
	}
}
