// SPDX-License-Identifier: Apache-2.0

package load

import (
	"slices"
	"testing"
)

func TestHops(t *testing.T) {
	for _, tc := range []struct {
		path string
		want []Hop
	}{
		{"gateway > user(gray) > cart(base: no-instance) > order(a|b)", []Hop{{App: "user", Tag: "gray"}, {App: "cart", Reason: "no-instance"}, {App: "order", Tag: "a|b"}}},
		{"gateway > user(base)", []Hop{{App: "user"}}},
		{"gateway > user(base) > cart(base), stock(gray)", []Hop{{App: "user"}, {App: "cart"}, {App: "stock", Tag: "gray"}}},
		{"gateway", nil},
		{"", nil},
		{"gateway > user(", nil},
	} {
		if got := Hops(tc.path); !slices.Equal(got, tc.want) {
			t.Errorf("Hops(%q) = %+v, want %+v", tc.path, got, tc.want)
		}
	}
}

func TestLeakAndFallback(t *testing.T) {
	const mixed = "gateway > user(gray) > cart(base: no-instance) > order(base: closing)"
	for _, tc := range []struct {
		r         Record
		leaked    bool
		fallbacks int
	}{
		{Record{Path: mixed}, true, 0},
		{Record{Path: mixed, Coloured: true}, false, 2},
		{Record{Path: "gateway > user(base) > cart(base)"}, false, 0},
		{Record{Path: "gateway"}, false, 0},
	} {
		if got := tc.r.Leaked(); got != tc.leaked {
			t.Errorf("%+v: leaked %v, want %v", tc.r, got, tc.leaked)
		}
		if got := tc.r.Fallbacks(); len(got) != tc.fallbacks {
			t.Errorf("%+v: fallbacks %v, want %d", tc.r, got, tc.fallbacks)
		}
	}
}
