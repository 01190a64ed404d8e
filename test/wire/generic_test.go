// SPDX-License-Identifier: Apache-2.0

package wire

import (
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
			url := protocol + "://" + p.addr
			if protocol == constant.TriProtocol { // dubbo-go ends the start for a dead address over dubbo
				url += ";" + protocol + "://" + ports.Dead()
			}
			cli := must(must(instance())(t).NewClient())(t)
			svc := must(cli.NewGenericService(p.name, client.WithURL(url), client.WithProtocol(protocol), client.WithInterface(p.name)))(t)
			before := lossless.ReadStats()
			for range 20 {
				out, err := svc.Invoke(t.Context(), "Call", []string{"java.lang.String"}, []hessian.Object{"x"})
				if err != nil || out != "x" {
					t.Fatalf("%v, %v", out, err)
				}
			}
			after := lossless.ReadStats()
			if after.Unknown != before.Unknown {
				t.Error("a call was left open")
			}
			if protocol == constant.TriProtocol && after.Rerouted != before.Rerouted+1 {
				t.Errorf("rerouted %d times, want once", after.Rerouted-before.Rerouted)
			}
		})
	}
}
