// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/graylane/graylane/cluster/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ramp = endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}

// fleet reads "gray:u gray:c :o": one endpoint a word, tag and state (usable,
// closing, outlier, both, or removed from the registry's list).
func fleet(text string) []*endpoint.Endpoint {
	var list []*endpoint.Endpoint
	table := new(endpoint.Table)
	for n, word := range strings.Fields(text) {
		tag, state, _ := strings.Cut(word, ":")
		e := &endpoint.Endpoint{
			Instance: table.Acquire(fmt.Sprintf("10.0.0.%d:20000", n), "a", "order", endpoint.Birth{}),
			Tag:      tag, Weight: 100,
		}
		if strings.ContainsAny(state, "cb") {
			e.MarkClosing()
		}
		if strings.ContainsAny(state, "ob") {
			e.SetOutlier(true)
		}
		if state == "r" {
			e.SetRemoved(true)
		}
		list = append(list, e)
	}
	return list
}

// served names the pool of a decision: the positions of its endpoints in the list.
func served(list []*endpoint.Endpoint, d Decision) string {
	var at []string
	for _, e := range d.Pool.All() {
		at = append(at, strconv.Itoa(slices.Index(list, e)))
	}
	return strings.Join(at, " ")
}

// TestLadder is the table of design.md, row by row and cell by cell, and what
// its text says beside it.
func TestLadder(t *testing.T) {
	const none = "-" // an error
	for _, tc := range []struct {
		name   string
		fleet  string
		opt    Options
		wanted string
		force  bool
		pool   string // positions, or none
		level  string
		reason Reason
		last   bool
	}{
		// wanted gray
		{"gray: usable", "gray:u :u gray:c", Options{}, "gray", false, "0", "gray", "", false},
		{"gray: closing only", "gray:c :u", Options{}, "gray", false, "1", "", Closing, false},
		{"gray: removed from the list only", "gray:r :u", Options{}, "gray", false, "1", "", Closing, false},
		{"gray: empty", ":u :u", Options{}, "gray", false, "0 1", "", NoInstance, false},
		{"gray: outliers only", "gray:o gray:o :u", Options{}, "gray", false, "2", "", Outlier, false},
		{"gray: closing and outlier", "gray:c gray:o :u", Options{}, "gray", false, "2", "", Closing, false},
		{"gray: force, usable", "gray:u :u", Options{}, "gray", true, "0", "gray", "", false},
		{"gray: force, closing only", "gray:c :u", Options{}, "gray", true, "0", "gray", "", true},
		{"gray: force, empty", ":u", Options{}, "gray", true, none, "", "", false},
		{"gray: force, outliers only", "gray:o :u", Options{}, "gray", true, "0", "gray", "", true},
		{"gray: never another tag", "blue:u", Options{}, "gray", false, none, "", "", false},
		{"gray: never another tag, also with any", "blue:u", Options{UntaggedAny: true}, "gray", false, none, "", "", false},
		{"gray: nothing at all", "", Options{}, "gray", false, none, "", "", false},
		// wanted a|b and deeper
		{"a|b: usable", "a|b:u a:u :u", Options{}, "a|b", false, "0", "a|b", "", false},
		{"a|b: closing only", "a|b:c a:u :u", Options{}, "a|b", false, "1", "a", Closing, false},
		{"a|b: empty", "a:u :u", Options{}, "a|b", false, "0", "a", NoInstance, false},
		{"a|b: outliers only", "a|b:o a:u :u", Options{}, "a|b", false, "1", "a", Outlier, false},
		{"a|b: then baseline", "a|b:c a:o :u", Options{}, "a|b", false, "2", "", Closing, false},
		{"a|b: baseline only", ":u", Options{}, "a|b", false, "0", "", NoInstance, false},
		{"a|b: force", "a:u :u", Options{}, "a|b", true, none, "", "", false},
		{"a|b: force, closing only", "a|b:c a:u", Options{}, "a|b", true, "0", "a|b", "", true},
		{"a|b|c: down to a|b", "a|b:u a:u :u", Options{}, "a|b|c", false, "0", "a|b", NoInstance, false},
		{"a|b|c: down to a", "a|b|c:o a|b:c a:u :u", Options{}, "a|b|c", false, "2", "a", Outlier, false},
		{"a|b|c: not up", "a|b|c:u :u", Options{}, "a|b", false, "1", "", NoInstance, false},
		{"a: not b", "b:u a|b:u :u", Options{}, "a", false, "2", "", NoInstance, false},
		// no level usable: the highest level's closing one, then outliers
		{"gray and baseline closing", ":c gray:c", Options{}, "gray", false, "1", "gray", "", true},
		{"gray outlier, baseline closing", ":c gray:o", Options{}, "gray", false, "0", "", Outlier, true},
		{"gray outlier, no baseline", "gray:o", Options{}, "gray", false, "0", "gray", "", true},
		{"a|b gone, a closing, baseline closing", "a:c :c", Options{}, "a|b", false, "0", "a", NoInstance, true},
		{"closing and outlier at once is closing", "gray:b", Options{}, "gray", false, "0", "gray", "", true},
		// wanted none
		{"none: baseline", ":u gray:u", Options{}, "", false, "0", "", "", false},
		{"none: baseline closing", ":c gray:u", Options{}, "", false, "0", "", "", true},
		{"none: baseline closing and usable", ":c :u gray:u", Options{}, "", false, "1", "", "", false},
		{"none: baseline empty", "gray:u", Options{BaselineSeen: true}, "", false, none, "", "", false},
		{"none: force is of no account", "gray:u :u", Options{}, "", true, "1", "", "", false},
		{"none: outliers only are tried, never gray", ":o gray:u", Options{BaselineSeen: true}, "", false, "0", "", "", true},
		{"none: nothing at all", "", Options{}, "", false, none, "", "", false},
		// a fleet tagged throughout
		{"none: tagged throughout", "prod:u prod:u", Options{}, "", false, "0 1", "", Untagged, false},
		{"none: tagged throughout, some closing", "prod:c blue:u", Options{}, "", false, "1", "", Untagged, false},
		{"none: tagged throughout, all closing", "prod:c", Options{}, "", false, "0", "", Untagged, true},
		{"none: any", "prod:u", Options{UntaggedAny: true, BaselineSeen: true}, "", false, "0", "", Untagged, false},
		{"none: any, but there is a baseline", "prod:u :c", Options{UntaggedAny: true}, "", false, "1", "", "", true},
		{"gray: tagged throughout", "prod:u", Options{}, "gray", false, none, "", "", false},
		// compat: java looks at all of a lane alike
		{"java: gray closing", "gray:c :u", Options{Java: true}, "gray", false, "0", "gray", "", true},
		{"java: gray empty", ":u", Options{Java: true}, "gray", false, "0", "", NoInstance, true},
	} {
		list := fleet(tc.fleet)
		d, err := Build(list, tc.opt.with(ramp)).Route(tc.wanted, tc.force)
		if tc.pool == none {
			if !errors.Is(err, endpoint.ErrNoEndpoint) {
				t.Errorf("%s: %+v, %v; want an error that wraps ErrNoEndpoint", tc.name, d, err)
			} else if tc.wanted != "" && !strings.Contains(err.Error(), tc.wanted) {
				t.Errorf("%s: %q does not name the tag", tc.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if served(list, d) != tc.pool || d.Level != tc.level || d.Reason != tc.reason || d.Last != tc.last {
			t.Errorf("%s: endpoints %s, level %q, reason %q, last %t; want %s, %q, %q, %t",
				tc.name, served(list, d), d.Level, d.Reason, d.Last, tc.pool, tc.level, tc.reason, tc.last)
		}
	}
}

func (o Options) with(r endpoint.Ramp) Options {
	o.Ramp = r
	return o
}

// TestAgainstSlow compares with the rules written down one after the other, on
// random fleets.
func TestAgainstSlow(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	tags := []string{"", "gray", "a", "a|b", "a|b|c", "b"}
	for range 2_000 {
		var words []string
		for range r.IntN(7) {
			words = append(words, tags[r.IntN(len(tags))]+":"+string("uuucobr"[r.IntN(7)]))
		}
		text := strings.Join(words, " ")
		list := fleet(text)
		o := Options{Ramp: ramp, UntaggedAny: r.IntN(4) == 0, BaselineSeen: r.IntN(2) == 0}
		s := Build(list, o)
		for _, wanted := range append(tags, "c", "a|c", "a|b|c|d") {
			for _, force := range []bool{false, true} {
				want, ok := slow(list, o, wanted, force)
				got, err := s.Route(wanted, force)
				if ok != (err == nil) || ok && (served(list, got) != served(list, want) || got.Level != want.Level || got.Reason != want.Reason || got.Last != want.Last) {
					t.Fatalf("seed %d: fleet %q, wanted %q, force %t, %+v:\ngot  %s %+v, %v\nwant %s %+v, %t",
						seed, text, wanted, force, o, served(list, got), got, err, served(list, want), want, ok)
				}
				if err != nil && !errors.Is(err, endpoint.ErrNoEndpoint) {
					t.Fatalf("seed %d: %v does not wrap ErrNoEndpoint", seed, err)
				}
			}
		}
	}
}

// slow is the ladder as a reader of design.md would write it.
func slow(list []*endpoint.Endpoint, o Options, wanted string, force bool) (Decision, bool) {
	levels := []string{wanted}
	if wanted != "" && !force {
		for parts := strings.Split(wanted, "|"); len(parts) > 1; {
			parts = parts[:len(parts)-1]
			levels = append(levels, strings.Join(parts, "|"))
		}
		levels = append(levels, "")
	}
	carrying := func(tag string) (out []*endpoint.Endpoint) {
		for _, e := range list {
			if e.Tag == tag {
				out = append(out, e)
			}
		}
		return out
	}
	var reason Reason
	group := carrying
	if wanted == "" && len(carrying("")) == 0 && (o.UntaggedAny || !o.BaselineSeen) {
		group = func(string) []*endpoint.Endpoint { return list }
		reason = Untagged
	}
	fallback := NoInstance
	for _, e := range group(wanted) {
		if e.Closing() {
			fallback = Closing
		} else if e.Outlier() && fallback == NoInstance {
			fallback = Outlier
		}
	}
	for state := range 3 {
		for n, level := range levels {
			var in []*endpoint.Endpoint
			for _, e := range group(level) {
				if [...]bool{e.Usable(), e.Closing(), !e.Closing() && e.Outlier()}[state] {
					in = append(in, e)
				}
			}
			if len(in) > 0 {
				if n > 0 {
					reason = fallback
				}
				return Decision{Pool: endpoint.NewPool(in, ramp), Level: level, Reason: reason, Last: state > 0}, true
			}
		}
	}
	return Decision{}, false
}

// TestImmutable: a snapshot does not follow its endpoints; the next one does.
func TestImmutable(t *testing.T) {
	list := fleet("gray:u :u")
	o := Options{Ramp: ramp}
	s := Build(list, o)
	list[0].MarkClosing()
	if d, _ := s.Route("gray", false); d.Level != "gray" || d.Pool.Len() != 1 {
		t.Errorf("the old snapshot changed: %+v", d)
	}
	if d, _ := Build(list, o).Route("gray", false); d.Level != "" || d.Reason != Closing {
		t.Errorf("the new snapshot: %+v, want the baseline, closing", d)
	}
}

func TestSummaries(t *testing.T) {
	for _, tc := range []struct {
		fleet           string
		available, base bool
		pools           int
	}{{"", false, false, 0}, {"gray:u", true, false, 2}, {"gray:c :o", false, true, 2}, {"gray:c :u", true, true, 2}} {
		s := Build(fleet(tc.fleet), Options{Ramp: ramp})
		if s.Available() != tc.available || s.HasBaseline() != tc.base || len(s.Pools()) != tc.pools {
			t.Errorf("%q: available %t, baseline %t, %d pools; want %t, %t, %d", tc.fleet, s.Available(), s.HasBaseline(), len(s.Pools()), tc.available, tc.base, tc.pools)
		}
	}
}

// TestRouteAllocs: a served call allocates nothing, whatever level it ends at.
func TestRouteAllocs(t *testing.T) {
	s := Build(fleet("gray:u a|b:c a:u blue:c :u"), Options{Ramp: ramp})
	for _, wanted := range []string{"", "gray", "a|b", "a|b|c", "blue", "unknown"} {
		if n := testing.AllocsPerRun(100, func() {
			if _, err := s.Route(wanted, false); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("Route(%q): %v allocations, want 0", wanted, n)
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	s := Build(fleet("gray:u a|b:c a:u blue:c :u"), Options{Ramp: ramp})
	for _, wanted := range []string{"", "gray", "a|b|c", "unknown"} {
		b.Run("wanted="+wanted, func(b *testing.B) {
			for b.Loop() {
				_, _ = s.Route(wanted, false)
			}
		})
	}
}
