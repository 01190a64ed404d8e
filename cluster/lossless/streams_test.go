// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/testkit/ports"
)

var streams = []string{constant.CallClientStream, constant.CallServerStream, constant.CallBidiStream}

// TestStreams: never rerouted after a refusal, and nothing is written for them
// that asks for reroutes.
func TestStreams(t *testing.T) {
	for _, kind := range streams {
		r := newRig(t, constant.TriProtocol, "", "")
		for _, n := range r.nodes {
			n.refuses(constant.TriProtocol, tag.RefusedClosing)
		}
		inv := call1("Watch", nil)
		inv.SetAttribute(constant.CallTypeKey, kind)
		if err := r.Invoke(context.Background(), inv).Error(); judge(err).outcome != endpoint.Refused {
			t.Errorf("%s: %v, want the refusal", kind, err)
		}
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts, want 1", kind, got)
		}
		for _, n := range r.nodes {
			for _, told := range n.told {
				if told[tag.KeyCaller] != nil {
					t.Errorf("%s: told %v", kind, told)
				}
			}
		}
	}
}

// TestStreamsOpened: a stream for which no connection can be had has not been opened,
// and is opened elsewhere in its lane. Once it may have been, its error is its caller's,
// whatever the settings say of calls whose outcome is unknown.
func TestStreamsOpened(t *testing.T) {
	closed := ports.Dead()
	u, err := common.NewURL(constant.TriProtocol + "://" + closed + "/" + service)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		err    error // of the first; nil: it is real, and nobody listens there
		opened bool
	}{
		{"nobody listens", nil, false},
		{"dial", triple_protocol.NewError(triple_protocol.CodeUnavailable, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), false},
		{"end of the connection", triple_protocol.NewError(triple_protocol.CodeUnavailable, io.ErrUnexpectedEOF), true},
		{"timeout", timeout(), true},
	} {
		for _, kind := range streams {
			settings(t, func(c *conf.Config) {
				c.Retry.Unknown, c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = "dubbo", time.Hour, time.Hour
			})
			r := newRig(t, constant.TriProtocol, "", "gray")
			r.url.SubURL.SetParam(constant.RetriesKey, "3")
			r.terms.Store(newTerms(r.url.SubURL))
			good, other := r.nodes[0], r.nodes[1]
			bad := newNode(t, "", "")
			bad.answer = fails(tc.err)
			if tc.err == nil {
				bad.BaseInvoker = *base.NewBaseInvoker(u)
				bad.e = &endpoint.Endpoint{Instance: bad.e.Instance, Invoker: connect.New(bad), Weight: 100, Caller: bad.e.Caller}
			}
			r.set(bad, good, other)
			tries := func() int64 {
				b := bad.books(t)
				return b.Sent + b.Failed
			}
			for n := 0; tries() == 0; n++ {
				if n == 1_000 {
					t.Fatalf("%s, %s: it is never called", tc.name, kind)
				}
				before := good.calls.Load()
				inv := call1("Watch", nil)
				inv.SetAttribute(constant.CallTypeKey, kind)
				err := r.Invoke(t.Context(), inv).Error()
				sent := good.calls.Load() - before
				switch {
				case tries() == 0:
				case tc.opened && (!errors.Is(err, tc.err) || sent != 0):
					t.Errorf("%s, %s: %v, and %d sent elsewhere; want its error and no other try", tc.name, kind, err, sent)
				case !tc.opened && (err != nil || sent != 1):
					t.Errorf("%s, %s: %v, and %d sent elsewhere; want it opened there", tc.name, kind, err, sent)
				}
			}
			if got := bad.calls.Load(); tc.err == nil && got != 0 {
				t.Errorf("%s, %s: handed to a client without a connection", tc.name, kind)
			}
			if got := other.calls.Load(); got != 0 {
				t.Errorf("%s, %s: %d went to another lane", tc.name, kind, got)
			}
			want := endpoint.Entry{Service: "order", Address: bad.e.Address, Incarnation: bad.e.Incarnation, Failed: 1, Rerouted: 1}
			if tc.opened {
				want.Failed, want.Rerouted, want.Sent, want.Unknown = 0, 0, 1, 1
			}
			if got := bad.books(t); got != want {
				t.Errorf("%s, %s: books %+v, want %+v", tc.name, kind, got, want)
			}
			if out := bad.e.Outlier(); out == tc.opened {
				t.Errorf("%s, %s: put out: %t", tc.name, kind, out)
			}
		}
	}
}
