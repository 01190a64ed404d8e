// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// TestNoExporter: over dubbo, a server of dubbo-go that does not have the service (it was
// not exported yet, or is not any more) answers what a handler's own error looks like: the
// class, the text and the bytes are the same. So it proves nothing, and is returned as the
// provider's answer, once.
func TestNoExporter(t *testing.T) {
	const text = "don't have this exporter, key: "
	for n, k := range dubbo2 {
		t.Run(k.String(), func(t *testing.T) {
			var p *provider
			p = serve(t, k, func(context.Context, string) (string, error) { return "", errors.New(text + p.name) })
			for m, tc := range []struct {
				service  string
				executed int64
			}{{"graylane.nobody", 0}, {p.name, 1}} {
				e := lane(t, connect.New(k.refer(t, tc.service, p.addr, "5s")), incarnation(3000+10*n+m))
				_, err := newReference(t, k, tc.service, "5s", e).call(t.Context(), "x")
				var g *hessian2.GenericException
				if !errors.As(err, &g) || g.ExceptionClass != "java.lang.Throwable" || g.ExceptionMessage != text+tc.service {
					t.Errorf("%s: %v", tc.service, err)
				}
				if got, want := books(e), (endpoint.Entry{Sent: 1, Answered: 1}); got != want {
					t.Errorf("%s: books %+v, want %+v", tc.service, got, want)
				}
				if got := p.calls.Load(); got != tc.executed {
					t.Errorf("%s: handlers ran %d times, want %d", tc.service, got, tc.executed)
				}
			}
		})
	}
}
