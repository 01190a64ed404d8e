// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// watchReset resets the connection that a health watch comes over, which dubbo-go does
// not start again, so that a call is the first stream of the next one.
func watchReset(f func(fr *http2.Framer)) func(net.Conn) {
	return func(c net.Conn) {
		onHeaders(c, func(fr *http2.Framer, h *http2.MetaHeadersFrame) bool {
			if strings.HasSuffix(h.PseudoValue("path"), "/Watch") {
				reset(c)
				return false
			}
			f(fr)
			return true
		})
	}
}

// TestGoAwayOfTheFirstStream: x/net says it otherwise than of later ones, and it is
// as much a proof.
func TestGoAwayOfTheFirstStream(t *testing.T) {
	must(instance())(t)
	for n, k := range triple {
		t.Run(k.String(), func(t *testing.T) {
			addr, _ := listen(t, watchReset(func(fr *http2.Framer) {
				_ = fr.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
			}))
			e := lane(t, k.refer(t, "graylane.goaway", addr, "1s"), incarnation(12000+n))
			r := newReference(t, k, "graylane.goaway", "1s", e)
			for deadline := time.Now().Add(20 * time.Second); ; {
				before := books(e)
				e.SetOutlier(false) // a connection that was reset may have put it out
				_, err := r.call(t.Context(), "x")
				if err == nil {
					t.Fatal("somebody answered")
				}
				if _, text, _ := strings.Cut(clientSaid(err), ": "); strings.HasPrefix(text, "http2: Transport received GOAWAY from server ErrCode:") {
					want := before
					want.Failed++
					if got := books(e); got != want {
						t.Errorf("%v: books %+v, want %+v", err, got, want)
					}
					if e.Outlier() {
						t.Error("out, though somebody is there")
					}
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("not seen; the last was %v", err)
				}
			}
		})
	}
}

// TestDestroyedTriple: a call to an invoker of ours that has been destroyed was never
// sent, and says nothing about the peer.
func TestDestroyedTriple(t *testing.T) {
	for n, k := range triple {
		t.Run(k.String(), func(t *testing.T) {
			p := serve(t, k, echo)
			e := lane(t, k.refer(t, p.name, p.addr, "3s"), incarnation(12010+n))
			r := newReference(t, k, p.name, "3s", e)
			if _, err := r.call(t.Context(), "x"); err != nil {
				t.Fatal(err)
			}
			before := books(e)
			e.Invoker.Destroy()
			if _, err := r.call(t.Context(), "x"); err == nil {
				t.Error("a destroyed invoker answers")
			}
			want := before
			want.Failed++
			if got := books(e); got != want {
				t.Errorf("books %+v, want %+v", got, want)
			}
			if e.Outlier() {
				t.Error("out")
			}
			if got := p.calls.Load(); got != 1 {
				t.Errorf("executed %d times, want once", got)
			}
		})
	}
}
