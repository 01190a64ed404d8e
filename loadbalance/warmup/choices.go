// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"reflect"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/p2c" // initialised before us, so that we know its type
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/cluster/endpoint"
)

var dubboChoices = reflect.TypeOf(extension.GetLoadbalance(constant.LoadBalanceKeyP2C)) //nolint:gochecknoglobals // a constant, as dubboHashing

func isDubboChoices(lb loadbalance.LoadBalance) bool { return reflect.TypeOf(lb) == dubboChoices }

// twoChoices draws two endpoints and takes the one with fewer calls in flight for
// its weight and age, the first if they are alike.
//
// dubbo-go's own `p2c` compares capacities that only its cluster adaptiveService
// measures. In any other cluster it names the first of two endpoints, always.
func twoChoices(p *endpoint.Pool, random func() uint64) *endpoint.Endpoint {
	a, b := pick(p, random), pick(p, random)
	if float64(b.InFlight())*a.Weight*p.Factor(a) < float64(a.InFlight())*b.Weight*p.Factor(b) {
		return b
	}
	return a
}
