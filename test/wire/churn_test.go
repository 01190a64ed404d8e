// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/testkit/need"
)

// TestConnectionsEndedAtOnce: a peer that ends every connection as it comes, in good
// order or by a reset. A request that found no connection to write to counts as never
// executed, one that may have been written as unknown.
func TestConnectionsEndedAtOnce(t *testing.T) {
	need.Long(t, "waits for a race")
	must(instance())(t)
	for m, way := range []struct {
		name string
		end  func(net.Conn)
	}{
		{"closed", func(net.Conn) {}},
		{"reset", reset},
	} {
		for n, k := range kinds {
			t.Run(k.String()+"/"+way.name, func(t *testing.T) {
				k.unlessRacing(t)
				deadline := time.Now().Add(20 * time.Second)
				for !churned(t, k, incarnation(8000+10*m+n), way.end, deadline) {
					if time.Now().After(deadline) {
						t.Fatal("no request found its connection ended")
					}
				}
			})
		}
	}
}

// churned makes a client, and sends calls until one found its connection ended before
// it was written. It reports false when the client is of no use any more: dubbo-go's of
// the dubbo protocol may panic while it loses its connection, and hangs from then on.
func churned(t *testing.T, k kind, incarnation string, end func(net.Conn), deadline time.Time) (seen bool) {
	t.Helper()
	refer := make(chan struct{})
	referred := sync.OnceFunc(func() { close(refer) })
	defer referred()
	addr, stop := listen(t, func(c net.Conn) {
		if k.protocol == constant.DubboProtocol {
			<-refer // its client must connect once
		}
		end(c)
	})
	i := k.refer(t, "graylane.churn", addr, "1s")
	referred()
	defer func() { go i.Destroy() }() // a client that has panicked never returns from it
	e := lane(t, i, incarnation)
	r := newReference(t, k, "graylane.churn", "1s", e)
	defer stop()
	for time.Now().Before(deadline) {
		seen, usable := tryChurned(t, r, e)
		if seen || !usable {
			return seen
		}
	}
	return false
}

// tryChurned sends a call and checks what the books say of it. It reports whether the
// call found its connection ended before it was written, and whether the client can
// still be used.
func tryChurned(t *testing.T, r *reference, e *endpoint.Endpoint) (seen, usable bool) {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			if r.protocol != constant.DubboProtocol {
				panic(p)
			}
			seen, usable = false, false
		}
	}()
	before := books(e)
	_, err := r.call(t.Context(), "x")
	if err == nil {
		t.Fatal("somebody answered")
	}
	var dial *net.OpError
	refused := errors.As(err, &dial) && dial.Op == "dial" // a reset may come while it still connects
	if r.protocol == constant.DubboProtocol {
		seen = proof(err)
	} else {
		seen = strings.HasSuffix(err.Error(), "http2: client conn could not be established")
	}
	want := before
	if seen || refused {
		want.Failed++
	} else {
		want.Sent++
		want.Unknown++
	}
	if got := books(e); got != want {
		t.Errorf("%v: books %+v, want %+v", err, got, want)
	}
	return seen, true
}
