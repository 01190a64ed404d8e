// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"io"
	"net"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	hessian "github.com/apache/dubbo-go-hessian2"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// TestGeneric: generic calls are rerouted like others: of two addresses one is dead.
func TestGeneric(t *testing.T) {
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		t.Run(protocol, func(t *testing.T) {
			p := serve(t, kind{protocol, "plain"}, echo)
			dead, die := ports.Dead(), func() {}
			if protocol == constant.DubboProtocol {
				dead, die = dying(t)
			}
			cli := must(must(instance())(t).NewClient())(t)
			svc := must(cli.NewGenericService(p.name, client.WithURL(protocol+"://"+p.addr+";"+protocol+"://"+dead), client.WithProtocol(protocol), client.WithInterface(p.name)))(t)
			die()
			before := lossless.ReadStats()
			for range 20 { // all to the one that lives: once in a million
				out, err := svc.Invoke(t.Context(), "Call", []string{"java.lang.String"}, []hessian.Object{"x"})
				if err != nil || out != "x" {
					t.Fatalf("%v, %v", out, err)
				}
			}
			after := lossless.ReadStats()
			if after.Unknown != before.Unknown {
				t.Error("a call was left open")
			}
			if after.Rerouted == before.Rerouted {
				t.Error("none was rerouted")
			}
			if got := p.calls.Load(); got != 20 {
				t.Errorf("executed %d times, want 20", got)
			}
		})
	}
}

// dying is an address that dies when the reference is made, for over dubbo one that is
// dead before ends the start. die waits until the client has given its connection up.
func dying(t *testing.T) (addr string, die func()) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, c)
		_ = c.Close()
	}()
	undo := impatient()
	return l.Addr().String(), func() {
		undo()
		_ = l.Close()
		within(t, "the end of a silent connection", func() { <-gone })
	}
}
