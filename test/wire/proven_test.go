// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wire

import (
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// TestProvenThenSilent: over dubbo a connection is lost without any call noticing, and
// dubbo-go makes a new one inside the next call, for three seconds if the address has
// become silent. An instance that has answered every call so far costs that call a third
// of its time no less than one that never did.
func TestProvenThenSilent(t *testing.T) {
	for n, k := range dubbo2 {
		t.Run(k.String(), func(t *testing.T) {
			healthy := serve(t, k, echo)
			l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
			defer func() { _ = l.Close() }()
			addr := l.Addr().String()
			var mute atomic.Bool // the network swallows what is sent from now on
			swallow := func(to, from net.Conn) {
				for b := make([]byte, 4096); ; {
					n, err := from.Read(b)
					if err != nil {
						_ = to.Close()
						return
					}
					if !mute.Load() {
						_, _ = to.Write(b[:n])
					}
				}
			}
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					p, err := net.Dial("tcp", healthy.addr)
					if err != nil {
						_ = c.Close()
						continue
					}
					go swallow(p, c)
					go swallow(c, p)
				}
			}()
			undo := impatient()
			i := connect.New(k.refer(t, healthy.name, addr, "3s"))
			undo()
			defer i.Destroy()
			bad := lane(t, i, incarnation(15000+2*n))
			good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "3s")), incarnation(15001+2*n))
			bad.Weight, good.Weight = favour, 1
			r := newReference(t, k, healthy.name, "3s", bad, good)
			if out, err := r.call(t.Context(), "x"); err != nil || out != "x" {
				t.Fatalf("%q, %v", out, err)
			}
			if got := books(bad); got != (endpoint.Entry{Sent: 1, Answered: 1}) {
				t.Fatalf("books %+v, want one that is answered", got)
			}

			mute.Store(true)
			_ = l.Close()
			lost(t, i.(*connect.Invoker))
			silent(t, addr)
			begin := time.Now()
			if out, err := r.call(t.Context(), "y"); err != nil || out != "y" {
				t.Errorf("%q, %v", out, err)
			}
			if took := time.Since(begin); took > 2*time.Second { // a third is one second, a dial three
				t.Errorf("the call took %v", took)
			}
			if got := books(bad); got != (endpoint.Entry{Sent: 1, Answered: 1, Failed: 1, Rerouted: 1}) {
				t.Errorf("books %+v, want one more that was rerouted", got)
			}
		})
	}
}
