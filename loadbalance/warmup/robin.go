// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"reflect"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/roundrobin" // initialised before us, so that we know its type
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/cluster/endpoint"
)

var dubboRobin = reflect.TypeOf(extension.GetLoadbalance(constant.LoadBalanceKeyRoundRobin)) //nolint:gochecknoglobals // a constant, as dubboHashing

// isDubboRobin reports whether the balancer is dubbo-go's round robin. It has one
// account for each provider and method: what a choice among all costs a provider is
// paid back by choices among all. A second question, among the warm ones only, costs
// less (their weights, not all) and goes to the same account, so that a heavy provider
// has more of the dear ones and a light one more of the cheap ones: with weights 200 and
// 100 beside a newcomer the heavy one had 62.9 % of the calls, not 61.5 %.
func isDubboRobin(lb loadbalance.LoadBalance) bool { return reflect.TypeOf(lb) == dubboRobin }

// drawSettled maps 64 random bits to an endpoint that is warm, by weight; nil if none
// is. It looks at all of them, as round robin did before.
func drawSettled(p *endpoint.Pool, random uint64) (e *endpoint.Endpoint) {
	rest := unit(random) * p.Foreign().SettledWeight
	for _, other := range p.All() {
		if other.Weight <= 0 || !other.Warm() {
			continue
		}
		if e = other; rest < e.Weight {
			break
		}
		rest -= e.Weight
	}
	return e
}
