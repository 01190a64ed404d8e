// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wire

import (
	"context"
	"net"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// unanswered is an invoker of an address that answers no SYN any more.
func (k kind) unanswered(t *testing.T, service string) base.Invoker {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	addr := l.Addr().String()
	undo := impatient()
	i := connect.New(k.refer(t, service, addr, "20s")) // dubbo's must connect once
	undo()
	if k.protocol == constant.DubboProtocol {
		c := must(l.Accept())(t) // nothing comes over it
		defer func() { _ = c.Close() }()
	}
	_ = l.Close()
	if k.protocol == constant.DubboProtocol {
		lost(t, i.(*connect.Invoker))
	}
	silent(t, addr)
	return i
}

// TestTimeIsTheCalls: the deadline and the option of a call bound all its endpoints
// together: what a silent address cost is missing at the next, whose handler hangs.
func TestTimeIsTheCalls(t *testing.T) {
	const (
		whole = 3 * time.Second
		// A third of it goes to the silent address: a new start would take 4 s in all. The
		// rest is for a busy machine.
		least, most = whole - 100*time.Millisecond, whole + 800*time.Millisecond
	)
	type try struct {
		name string
		r    *reference
		bad  *endpoint.Endpoint
		call func(r *reference) error
	}
	var tries []try
	release := make(chan struct{})
	defer close(release)
	for n, k := range kinds {
		if racing && k.protocol == constant.DubboProtocol {
			continue
		}
		hanging := serve(t, k, func(context.Context, string) (string, error) {
			<-release
			return "", nil
		})
		for m, limit := range []struct {
			name string
			call func(r *reference) error
		}{
			{"deadline", func(r *reference) error {
				ctx, cancel := context.WithTimeout(t.Context(), whole)
				defer cancel()
				_, err := r.call(ctx, "x")
				return err
			}},
			{"option", func(r *reference) error {
				_, err := r.callWith(t.Context(), "x", map[string]any{constant.TimeoutKey: whole.String()})
				return err
			}},
		} {
			bad := lane(t, k.unanswered(t, hanging.name), incarnation(10000+4*n+2*m))
			last := lane(t, connect.New(k.refer(t, hanging.name, hanging.addr, "20s")), incarnation(10001+4*n+2*m))
			bad.Weight, last.Weight = favour, 1
			tries = append(tries, try{k.String() + "/" + limit.name, newReference(t, k, hanging.name, "20s", bad, last), bad, limit.call})
		}
	}
	t.Run("together", func(t *testing.T) {
		for _, tc := range tries {
			t.Run(tc.name, func(t *testing.T) {
				t.Parallel() // they wait
				begin := time.Now()
				err := tc.call(tc.r)
				took := time.Since(begin)
				if err == nil {
					t.Error("somebody answered")
				}
				if got := books(tc.bad); got != (endpoint.Entry{Failed: 1, Rerouted: 1}) {
					t.Errorf("books %+v of the silent address, want one that was rerouted", got)
				}
				if took < least || took > most {
					t.Errorf("returned after %v, want %v", took, whole)
				}
			})
		}
	})
}
