// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/testkit/need"
)

// TestConnectionsClosedAtOnce: a peer that closes every connection as it comes. A
// request that found its connection closed before it was written counts as never
// executed, one that may have been written as unknown.
func TestConnectionsClosedAtOnce(t *testing.T) {
	need.Long(t, "waits for a race")
	must(instance())(t)
	k := kind{"tri", "idl"}
	addr, _ := listen(t, func(net.Conn) {})
	e := lane(t, k.refer(t, "graylane.churn", addr, "1s"), incarnation(8000))
	r := newReference(t, k, "graylane.churn", "1s", e)
	seen := false
	for deadline := time.Now().Add(20 * time.Second); !seen; {
		if time.Now().After(deadline) {
			t.Fatal("no request found its connection closed")
		}
		before := books(e)
		_, err := r.call(t.Context(), "x")
		if err == nil {
			t.Fatal("somebody answered")
		}
		seen = strings.HasSuffix(err.Error(), "http2: client conn could not be established")
		want := before
		if seen {
			want.Failed++
		} else {
			want.Sent++
			want.Unknown++
		}
		if got := books(e); got != want {
			t.Errorf("%v: books %+v, want %+v", err, got, want)
		}
	}
	if got := books(e); got == (endpoint.Entry{}) {
		t.Error("no books")
	}
}
