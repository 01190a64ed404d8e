// SPDX-License-Identifier: Apache-2.0

// Package overload answers calls that a limit of dubbo-go's keeps from their handler
// (the filters tps and execute) with a typed refusal, so that the caller knows that
// nothing was executed and cluster/lossless sends the call elsewhere, within its
// budget.
//
// dubbo-go's own handler answers an empty success over the dubbo protocol, and a
// failure to encode it over Triple. A handler that the user names
// (`tps.limit.rejected.handler`, `execute.limit.rejected.handler`) or registers as
// "default" wins; the modes off and observe leave dubbo-go's as it is.
//
// Importing the package registers the handler under [Name] and as dubbo-go's
// default; nothing else happens. A Handler is safe for concurrent use.
package overload

import (
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/filter/handler" // its init takes the place of the default: ours must come after it
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/refusal"
)

// Name is what dubbogo.yml may call the handler.
const Name = "graylane-overload"

func init() {
	extension.SetRejectedExecutionHandler(Name, New)
	extension.SetRejectedExecutionHandler(constant.DefaultKey, New)
}

// Handler refuses what a limit rejects.
type Handler struct{}

var _ filter.RejectedExecutionHandler = Handler{}

// New returns a handler.
func New() filter.RejectedExecutionHandler { return Handler{} }

// RejectedExecution implements dubbo-go's RejectedExecutionHandler.
func (Handler) RejectedExecution(u *common.URL, inv base.Invocation) result.Result {
	if conf.Current().Mode != conf.Enforce {
		return handler.GetOnlyLogRejectedExecutionHandler().RejectedExecution(u, inv)
	}
	return refusal.Overloaded(u != nil && u.Protocol == constant.TriProtocol)
}
