// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"slices"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/meta"
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
		switch {
		case name == warmup.Name, name == "":
			return ""
		case !slices.Contains(extension.GetAllLoadbalanceNames(), name): // the start has checked dubbogo.yml: an override
			logger.Warnf("[graylane] %s: loadbalance: got %q, which is not registered; %s chooses", u.Service(), name, warmup.Name)
			return ""
		}
		return name
	}
	p.policy = ours(u.GetParam(constant.LoadbalanceKey, ""))
	meta.EachMethod(u, constant.LoadbalanceKey, func(method, name string) {
		if p.byMethod == nil {
			p.byMethod = map[string]string{}
		}
		p.byMethod[method] = ours(name)
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
