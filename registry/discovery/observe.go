// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/connect"
)

// ServedBy is the invocation attribute that holds the invoker which served a call
// in mode observe, so that an observer can compare it with its own choice.
const ServedBy = "graylane-served-by"

// recorder notes in the invocation who served it.
type recorder struct{ base.Invoker }

// observed wraps an invoker for the mode: in mode observe it notes whom it served,
// otherwise it can be asked for its connection.
func observed(i base.Invoker) base.Invoker {
	if conf.Current().Mode == conf.Observe {
		return &recorder{i}
	}
	return connect.New(i)
}

// Invoke notes and passes on.
func (r *recorder) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	inv.SetAttribute(ServedBy, base.Invoker(r))
	return r.Invoker.Invoke(ctx, inv)
}
