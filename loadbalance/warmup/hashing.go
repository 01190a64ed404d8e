// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/consistenthashing" // initialised before us, so that we know its type
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
)

// dubbo-go's defaults: points of a node on the ring, and the arguments that make the key.
const (
	defaultNodes     = 160
	defaultArguments = "0"
)

// dubboHashing is the type of dubbo-go's balancer, taken before a user can have
// replaced it.
var dubboHashing = reflect.TypeOf(extension.GetLoadbalance(constant.LoadBalanceKeyConsistentHashing)) //nolint:gochecknoglobals // a constant

func isDubboHashing(lb loadbalance.LoadBalance) bool { return reflect.TypeOf(lb) == dubboHashing }

// hashed is consistent hashing over the pool with dubbo-go's ring, keys and
// settings, so that a key goes where plain callers send it, and with a ramp: an
// endpoint that warms up takes the part f of its points, the other keys stay where
// they were before it came. A key's calls are never spread over two endpoints.
//
// dubbo-go's own is not asked because it keeps one ring a service and method, and
// tells lists apart by the JSON text of the invokers, which is "{}" for each: after
// one was replaced by another it goes on naming the one that left.
func hashed(p *endpoint.Pool, inv base.Invocation) *endpoint.Endpoint {
	u, method := p.Invokers()[0].GetURL(), inv.MethodName()
	f := p.Foreign()
	ring := f.Ring(u.GetMethodParamIntValue(method, consistenthashing.HashNodes, defaultNodes))
	key := hashKey(u.GetMethodParam(method, consistenthashing.HashArguments, defaultArguments), inv.Arguments())
	list := p.All()
	return list[ring.Locate(key, func(node int) float64 {
		if list[node].Weight <= 0 && f.Weight > 0 {
			return 0
		}
		return p.Factor(list[node])
	})]
}

// hashKey joins the arguments at the positions that the text lists. Positions that
// are none are left out.
func hashKey(positions string, arguments []any) string {
	var b strings.Builder
	for text := range strings.SplitSeq(positions, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 0 || n >= len(arguments) {
			continue
		}
		if s, ok := arguments[n].(string); ok {
			b.WriteString(s)
		} else {
			_, _ = fmt.Fprint(&b, arguments[n]) // never fails
		}
	}
	return b.String()
}
