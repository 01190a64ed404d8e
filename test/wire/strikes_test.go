// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"net"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"golang.org/x/net/http2"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// favour is the weight of an endpoint that calls go to while they can; the others
// have one of 1. A call goes elsewhere once in a million.
const favour = 1_000_000

// TestStrikes: the fifth timeout in a row puts an endpoint out that takes calls and
// answers none, over both protocols, and the next call goes to the other.
func TestStrikes(t *testing.T) {
	for n, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			healthy := serve(t, k, echo)
			hang := onRequest(func(net.Conn) {})
			if k.protocol == constant.TriProtocol {
				hang = onCall(func(net.Conn, *http2.Framer, uint32) {})
			}
			addr, _ := listen(t, hang)
			bad := lane(t, connect.New(k.refer(t, healthy.name, addr, "20s")), incarnation(9000+2*n))
			good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "20s")), incarnation(9001+2*n))
			bad.Weight, good.Weight = favour, 1
			r := newReference(t, k, healthy.name, "20s", bad, good)
			for i := range 5 {
				if bad.Outlier() {
					t.Fatalf("out after %d timeouts", i)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond) // connecting may take a third of it
				_, err := r.call(ctx, "x")
				cancel()
				if err == nil {
					t.Fatal("somebody answered")
				}
			}
			if !bad.Outlier() {
				t.Error("not out after five timeouts")
			}
			if got := books(bad); got != (endpoint.Entry{Sent: 5, Unknown: 5}) {
				t.Errorf("books %+v, want 5 unknown", got)
			}
			if out, err := r.call(t.Context(), "y"); err != nil || out != "y" {
				t.Errorf("the next call: %q, %v", out, err)
			}
		})
	}
}
