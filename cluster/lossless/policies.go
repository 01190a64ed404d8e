// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/loadbalance/warmup"
)

// policies are the balancers that the user named, "" for ours: of the reference,
// and of single methods.
type policies struct {
	policy   string
	byMethod map[string]string // nil: none has one of its own
}

func newPolicies(u *common.URL) (p policies) {
	ours := func(name string) string {
		if name == warmup.Name {
			return ""
		}
		return name
	}
	p.policy = ours(u.GetParam(constant.LoadbalanceKey, ""))
	u.RangeParams(func(key, value string) bool {
		method, ok := strings.CutPrefix(key, "methods.")
		if method, ok2 := strings.CutSuffix(method, "."+constant.LoadbalanceKey); ok && ok2 && value != "" {
			if p.byMethod == nil {
				p.byMethod = map[string]string{}
			}
			p.byMethod[method] = ours(value)
		}
		return true
	})
	return p
}

// of returns the balancer of a method.
func (p *policies) of(method string) string {
	if p.byMethod != nil {
		if name, ok := p.byMethod[method]; ok {
			return name
		}
	}
	return p.policy
}
