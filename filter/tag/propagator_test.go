// SPDX-License-Identifier: Apache-2.0

package tag_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"

	"github.com/graylane/graylane/filter/tag"
)

func TestMergeBaggage(t *testing.T) {
	full := strings.Repeat("x", 8192-len("dubbo.tag=g,"))
	for _, tc := range []struct {
		header string
		tag    tag.Tag
		want   string
	}{
		{"", "", ""},
		{"", "a|b", "dubbo.tag=a|b"},
		{"user=7", "", "user=7"},
		{"user=7;p=1,k=%20", "g", "dubbo.tag=g,user=7;p=1,k=%20"},
		{"user=7, dubbo.tag=old;p=1 ,k=v", "g", "dubbo.tag=g,user=7,k=v"},
		{"dubbo.tag=a,user=7,dubbo.tag=b", "", "user=7"},
		{"dubbo.tag=a", "", ""},
		{"xdubbo.tag=a", "", "xdubbo.tag=a"},
		{full, "g", "dubbo.tag=g," + full},
		{full + "x", "g", full + "x"},
	} {
		if got := tag.MergeBaggage(tc.header, tc.tag); got != tc.want {
			t.Errorf("MergeBaggage(%.40q, %q) = %.60q, want %.60q", tc.header, tc.tag, got, tc.want)
		}
	}
}

func TestPropagator(t *testing.T) {
	p := propagation.NewCompositeTextMapPropagator(propagation.Baggage{}, tag.Propagator{})
	h := propagation.HeaderCarrier(http.Header{})
	ctx := baggage.ContextWithBaggage(tag.NewContext(context.Background(), "a|b"), member(t, "user", "7"))
	p.Inject(ctx, h)
	got := p.Extract(context.Background(), h)
	if tag.FromContext(got) != "a|b" || baggage.FromContext(got).Member("user").Value() != "7" {
		t.Errorf("%v: tag %q, user %q, want a|b, 7", h, tag.FromContext(got), baggage.FromContext(got).Member("user").Value())
	}
	// The header is one that OpenTelemetry without us reads.
	plain := propagation.Baggage{}.Extract(context.Background(), h)
	if v := baggage.FromContext(plain).Member("dubbo.tag").Value(); v != "a|b" {
		t.Errorf("OpenTelemetry reads %q from %v, want a|b", v, h)
	}
	// Without a tag, one that an outer instrumentation wrote goes.
	h.Set("baggage", "dubbo.tag=old,user=7")
	tag.Propagator{}.Inject(tag.NewContext(context.Background(), ""), h)
	if v := h.Get("baggage"); v != "user=7" {
		t.Errorf("baggage = %q, want user=7", v)
	}
	if f := (tag.Propagator{}).Fields(); len(f) != 1 || f[0] != "baggage" {
		t.Errorf("Fields = %v, want baggage", f)
	}
}

func TestExtract(t *testing.T) {
	gray := tag.NewContext(context.Background(), "gray")
	for header, want := range map[string]tag.Tag{
		"":                  "gray",
		"user=7":            "gray",
		"dubbo.tag=blue":    "blue",
		"dubbo.tag=b%20lue": "",
	} {
		got := tag.Propagator{}.Extract(gray, propagation.MapCarrier{"baggage": header})
		if tag.FromContext(got) != want {
			t.Errorf("Extract of %q over gray = %q, want %q", header, tag.FromContext(got), want)
		}
	}
	h := http.Header{"Baggage": {"user=7", "dubbo.tag=blue"}}
	if got := tag.FromContext(tag.Propagator{}.Extract(gray, propagation.HeaderCarrier(h))); got != "blue" {
		t.Errorf("Extract of two headers = %q, want blue", got)
	}
}

func ExamplePropagator() {
	p := propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}, tag.Propagator{})
	request := propagation.MapCarrier{}
	p.Inject(tag.NewContext(context.Background(), "gray"), request)
	fmt.Println(request["baggage"])
	// Output: dubbo.tag=gray
}
