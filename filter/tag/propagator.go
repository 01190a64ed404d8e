// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

var _ propagation.TextMapPropagator = Propagator{}

// Propagator carries the tag through OpenTelemetry instrumentation (HTTP
// clients, message brokers) as the baggage member dubbo.tag, next to what others
// put into that header. In a composite it must come after
// [propagation.Baggage], which writes the whole header anew:
//
//	otel.SetTextMapPropagator(propagation.NewCompositeTextMapPropagator(
//		propagation.TraceContext{}, propagation.Baggage{}, tag.Propagator{}))
//
// The zero value is ready to use.
type Propagator struct{}

// Inject merges the tag of ctx into the carrier's baggage, see [MergeBaggage].
// Without a tag it takes a member of that name out.
func (Propagator) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	old := carrier.Get(Baggage)
	if merged := MergeBaggage(old, FromContext(ctx)); merged != old {
		carrier.Set(Baggage, merged)
	}
}

// Extract returns ctx with the tag of the carrier's baggage, or ctx itself if
// there is none. A hostile value is no tag, and hides the one that ctx had.
func (Propagator) Extract(ctx context.Context, carrier propagation.TextMapCarrier) context.Context {
	var header any = carrier.Get(Baggage)
	if m, ok := carrier.(propagation.ValuesGetter); ok {
		header = m.Values(Baggage)
	}
	s, ok := memberOf(header)
	if !ok {
		return ctx
	}
	return NewContext(ctx, Accept(Baggage, s))
}

// Fields returns the one header that [Propagator.Inject] sets.
func (Propagator) Fields() []string { return []string{Baggage} }
