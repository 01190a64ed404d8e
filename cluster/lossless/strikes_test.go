// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/internal/conf"
)

// TestStrikesOfALane: the share that may be out and the last usable one are those of
// the lane, however large the rest of the fleet is. Calls of a lane that times out get
// the timeout and stay in it.
func TestStrikesOfALane(t *testing.T) {
	for _, tc := range []struct {
		gray, baseline int
		percent        float64
		want           int // outliers
	}{
		{1, 9, 100, 0},
		{2, 8, 100, 1},
		{2, 8, 50, 1},
		{3, 7, 33, 0},
		{4, 6, 25, 1},
		{4, 6, 100, 3},
	} {
		name := fmt.Sprintf("%d of %d, %v %%", tc.gray, tc.gray+tc.baseline, tc.percent)
		settings(t, func(c *conf.Config) {
			c.Outlier = conf.Outlier{BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour, MaxEjectionPercent: tc.percent}
		})
		r := newRig(t, constant.TriProtocol, slices.Concat(slices.Repeat([]string{"gray"}, tc.gray), make([]string, tc.baseline))...)
		for _, n := range r.nodes[:tc.gray] {
			n.answer = timesOut
		}
		before := ReadStats()
		for range 100 * tc.gray {
			if err := r.call(wanting("gray")); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("%s: %v, want the timeout", name, err)
			}
		}
		out := 0
		for n, node := range r.nodes {
			if node.e.Outlier() {
				out++
			}
			if calls := node.calls.Load(); n >= tc.gray && calls > 0 {
				t.Errorf("%s: %d calls went to the baseline", name, calls)
			}
		}
		after := ReadStats()
		if out != tc.want || after.Ejected-before.Ejected != int64(tc.want) {
			t.Errorf("%s: %d outliers, %d counted, want %d", name, out, after.Ejected-before.Ejected, tc.want)
		}
		for reason, count := range after.Fallbacks {
			if count != before.Fallbacks[reason] {
				t.Errorf("%s: %d calls counted as fallback %q", name, count-before.Fallbacks[reason], reason)
			}
		}
	}
}

// TestWhatStrikes: the fifth in a row of what may be the fault of the instance puts it
// out, the fourth does not. What is the call's own fault, or its caller's, never does.
func TestWhatStrikes(t *testing.T) {
	typed := func(code triple_protocol.Code, err error) error { return triple_protocol.NewError(code, err) }
	for _, tc := range []struct {
		name, protocol string
		err            error
		strikes        bool
	}{
		{"timeout", constant.TriProtocol, typed(triple_protocol.CodeDeadlineExceeded, context.DeadlineExceeded), true},
		{"unavailable", constant.TriProtocol, typed(triple_protocol.CodeUnavailable, io.EOF), true},
		{"end of the connection", constant.DubboProtocol, io.EOF, true},
		{"in the middle of an answer", constant.DubboProtocol, io.ErrUnexpectedEOF, true},
		{"reset", constant.DubboProtocol, &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"bare reset", constant.DubboProtocol, syscall.ECONNRESET, true},
		{"broken pipe", constant.DubboProtocol, syscall.EPIPE, true},
		{"closed connection", constant.DubboProtocol, net.ErrClosed, true},
		{"getty's timeout", constant.DubboProtocol, errors.New(gettyTimeout), true},
		{"timeout of the context", constant.DubboProtocol, context.DeadlineExceeded, true},

		{"cancelled", constant.TriProtocol, typed(triple_protocol.CodeCanceled, context.Canceled), false},
		{"cancelled", constant.DubboProtocol, context.Canceled, false},
		{"not encoded", constant.TriProtocol, typed(triple_protocol.CodeInternal, errors.New("marshal message: not a proto.Message")), false},
		{"not encoded", constant.DubboProtocol, errors.New("encode request failed"), false},
		{"unknown to us", constant.TriProtocol, typed(triple_protocol.CodeUnknown, errors.New("?")), false},
		{"no result", constant.TriProtocol, ErrNoResult, false},
		{"the provider's timeout, from the wire", constant.TriProtocol, triple_protocol.NewWireError(triple_protocol.CodeDeadlineExceeded, errors.New("of its database")), false},
	} {
		settings(t, func(c *conf.Config) {
			c.Outlier = conf.Outlier{BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour, MaxEjectionPercent: 100}
		})
		r := newRig(t, tc.protocol, "", "")
		bad := r.nodes[0]
		bad.answer = func(context.Context, base.Invocation) result.Result { return &result.RPCResult{Err: tc.err} }
		until := func(calls int64) {
			t.Helper()
			for n := 0; bad.calls.Load() < calls; n++ {
				if n > 10_000 {
					t.Fatalf("%s over %s: out after %d", tc.name, tc.protocol, bad.calls.Load())
				}
				_ = r.call(nil)
			}
		}
		if !tc.strikes {
			if until(20); bad.e.Outlier() {
				t.Errorf("%s over %s: put out", tc.name, tc.protocol)
			}
			continue
		}
		if until(4); bad.e.Outlier() {
			t.Errorf("%s over %s: put out after four", tc.name, tc.protocol)
		}
		if until(5); !bad.e.Outlier() {
			t.Errorf("%s over %s: not put out after five", tc.name, tc.protocol)
		}
	}
}
