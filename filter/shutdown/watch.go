// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
)

// WatchName is the name of the filter for dubbo-go's own services: health,
// reflection, metadata. It counts nothing, for a health Watch lives as long as its
// caller. It hears callers over Triple say that they know of the leave, or end
// themselves, and ends what is left of such streams when the drain is over. With TLS the
// stop of a Triple server would else wait 10 s for them.
const WatchName = "graylane-watch"

func init() { extension.SetFilter(WatchName, func() filter.Filter { return NewWatch(Process()) }) }

// Watch ends streams with a gate, and tells it who has heard.
type Watch struct{ gate *Gate }

var _ filter.Filter = (*Watch)(nil)

// NewWatch returns a filter whose calls end with g.
func NewWatch(g *Gate) *Watch { return &Watch{gate: g} }

// Invoke runs the handler with a ctx that ends when the drain is over.
func (w *Watch) Invoke(ctx context.Context, invoker base.Invoker, inv base.Invocation) result.Result {
	switch caller, state := ack.From(inv, w.gate.incarnation); {
	case state == tag.StateGone:
		w.gate.left(caller)
	case state == tag.StateClosing && w.gate.Closing():
		w.gate.heard(caller)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.gate.ended, cancel)()
	return invoker.Invoke(ctx, inv)
}

// OnResponse changes nothing.
func (w *Watch) OnResponse(_ context.Context, res result.Result, _ base.Invoker, _ base.Invocation) result.Result {
	return res
}
