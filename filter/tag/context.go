// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"context"

	"go.opentelemetry.io/otel/baggage"
)

type tagKey struct{}

// NewContext returns ctx with t in it. The zero Tag is kept too: it hides a tag
// of the parent and a baggage member. So does a t that is no tag, as one made from
// a variable without [Parse] may be: it is counted, logged once, and not sent.
func NewContext(ctx context.Context, t Tag) context.Context {
	if t != "" {
		t = Accept("tag.NewContext", string(t))
	}
	return context.WithValue(ctx, tagKey{}, t)
}

// FromContext returns the tag of ctx: what [NewContext] put there, else the
// OpenTelemetry baggage member dubbo.tag, else none. It survives
// [context.WithoutCancel].
func FromContext(ctx context.Context) Tag {
	if t, ok := ctx.Value(tagKey{}).(Tag); ok {
		return t
	}
	if b := baggage.FromContext(ctx); b.Len() != 0 {
		if v := b.Member(BaggageMember).Value(); v != "" {
			return Accept(Baggage, v)
		}
	}
	return ""
}
