// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
)

// several reports that the endpoints of a reference may differ in group or version.
func several(ref *common.URL) bool {
	group := ref.GetParam(constant.GroupKey, "")
	return group == constant.AnyValue || strings.Contains(group, ",") || ref.GetParam(constant.VersionKey, "") == constant.AnyValue
}

// grouped is an invoker that states its own group and version also where it has
// none. dubbo-go's protocols write theirs into the invocation only if they have
// one, so that a call rerouted from one group to another would ask the second for
// the first's.
type grouped struct {
	base.Invoker
	group, version string
}

// Invoke states group and version and passes on.
func (g *grouped) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	inv.SetAttachment(constant.GroupKey, g.group)
	inv.SetAttachment(constant.VersionKey, g.version)
	return g.Invoker.Invoke(ctx, inv)
}
