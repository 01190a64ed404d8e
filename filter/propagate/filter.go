// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

var _ filter.Filter = Filter{}

// Filter is the provider's part. The zero value is ready to use.
type Filter struct{}

// Invoke calls the next filter with a context that holds the call's tag and the
// values of propagate.keys. If the call asks for its way, the answer says it.
func (Filter) Invoke(ctx context.Context, next base.Invoker, inv base.Invocation) result.Result {
	c := conf.Current()
	if c.Mode == conf.Off {
		return next.Invoke(ctx, inv)
	}
	attachments := inv.Attachments()
	in := &inbound{
		Context:     ctx,
		attachments: attachments,
		tag: tag.FromWire(func(key string) (any, bool) {
			v, ok := attachments[key]
			return v, ok
		}),
	}
	for _, key := range c.Propagate.Keys {
		if s, ok := tag.Value(attachments[key]); ok {
			in.carried = append(in.carried, carried{key, s})
		}
	}
	ctx = in
	if in.tag != "" || tag.FromContext(ctx) != "" { // the latter: from baggage that FromWire did not believe
		ctx = tag.NewContext(ctx, in.tag)
	}
	reason, asked := question(attachments[tag.KeyPath])
	if !asked {
		res := next.Invoke(ctx, inv)
		in.answered.Store(true)
		ownError(res)
		return res
	}
	ctx, below := tag.WithPath(ctx)
	res := next.Invoke(ctx, inv)
	in.answered.Store(true)
	ownError(res) // a stream of the handler's own may have been refused
	answer(res, next.GetURL(), wayFrom(next.GetURL(), reason, below))
	return res
}

// OnResponse returns the result as it is.
func (Filter) OnResponse(_ context.Context, res result.Result, _ base.Invoker, _ base.Invocation) result.Result {
	return res
}
