// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/graylane/graylane/cluster/endpoint"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ramp = endpoint.Ramp{Exponent: 1, Floor: 0.1, Boost: 1.5}

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
		fleet                     string
		available, base, untagged bool
		pools                     int
	}{{"", false, false, false, 0}, {"gray:u", true, false, true, 2}, {"gray:c :o", false, true, false, 2}, {"gray:c :u", true, true, false, 2}} {
		s := Build(fleet(tc.fleet), Options{Ramp: ramp})
		if s.Available() != tc.available || s.HasBaseline() != tc.base || s.Untagged() != tc.untagged || len(s.Pools()) != tc.pools {
			t.Errorf("%q: available %t, baseline %t, untagged %t, %d pools; want %t, %t, %t, %d",
				tc.fleet, s.Available(), s.HasBaseline(), s.Untagged(), len(s.Pools()), tc.available, tc.base, tc.untagged, tc.pools)
		}
	}
}

// TestLevel: a decision knows all instances of its level, in whatever state, and those
// of no other.
func TestLevel(t *testing.T) {
	list := fleet("gray:u gray:c gray:o :u")
	d, err := Build(list, Options{Ramp: ramp}).Route("gray", false)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range []bool{true, true, true, false} {
		if got := d.Holds(list[n]); got != want {
			t.Errorf("instance %d is of the level: %t, want %t", n, got, want)
		}
	}
	if usable, staying := d.Left(); usable != 1 || staying != 2 {
		t.Errorf("%d usable, %d stay; want 1 and 2", usable, staying)
	}
	list[0].SetOutlier(true)
	if usable, staying := d.Left(); usable != 0 || staying != 2 {
		t.Errorf("%d usable, %d stay once the usable one fails; want 0 and 2", usable, staying)
	}
}

// TestEndlessTag: what is too long for a tag is looked up, not climbed.
func TestEndlessTag(t *testing.T) {
	s := Build(fleet("a:u :u"), Options{Ramp: ramp})
	for n, level := range map[int]string{1: "a", 60: "a", 64: "", 1 << 20: ""} { // n levels more, of two bytes
		if d, err := s.Route("a"+strings.Repeat("|a", n), false); err != nil || d.Level != level || d.Reason != NoInstance {
			t.Errorf("%d levels: level %q, reason %q, %v; want %q", n+1, d.Level, d.Reason, err, level)
		}
	}
}

// TestRouteAllocs: a call allocates nothing, whatever level it ends at, by rule or
// by the instances' own tags; an error for a tag that somebody names neither.
func TestRouteAllocs(t *testing.T) {
	rules := rulesOf(t, "red: 10.0.0.5; green|x: env=g; dead: 10.9.9.9; force")
	s := Build(fleet("gray:u a|b:c a:u blue:c :u :u :u?env=g"), Options{Ramp: ramp, Rules: rules})
	for _, wanted := range []string{"", "gray", "a|b", "a|b|c", "blue", "unknown", "unknown|x|y", "red", "red|x", "green", "green|x", "dead"} {
		for _, force := range []bool{false, true} {
			if _, err := s.Route(wanted, force); err != nil && wanted != "dead" && !force {
				t.Errorf("Route(%q): %v", wanted, err)
			}
			if _, named := s.routes[wanted]; force && !named {
				continue // an error that names what the call brought
			}
			if n := testing.AllocsPerRun(100, func() { _, _ = s.Route(wanted, force) }); n != 0 {
				t.Errorf("Route(%q, %t): %v allocations, want 0", wanted, force, n)
			}
		}
	}
}

func BenchmarkRoute(b *testing.B) {
	rules := rulesOf(b, "red: 10.0.0.5; green|x: env=g")
	s := Build(fleet("gray:u a|b:c a:u blue:c :u :u :u?env=g"), Options{Ramp: ramp, Rules: rules})
	for _, wanted := range []string{"", "gray", "a|b|c", "unknown", "red", "green|x|y"} {
		b.Run("wanted="+wanted, func(b *testing.B) {
			for b.Loop() {
				_, _ = s.Route(wanted, false)
			}
		})
	}
}

// BenchmarkBuild is a rule change over 10,000 endpoints: what a push or a rule of
// each kind costs.
func BenchmarkBuild(b *testing.B) {
	const n = 10_000
	var words, third []string
	for i := range n {
		words = append(words, []string{":u", "gray:u"}[i%2]+"?env="+string("xyz"[i%3]))
		if i%3 == 0 {
			third = append(third, address(i))
		}
	}
	list := fleet(strings.Join(words, " "))
	for _, rule := range []struct{ name, text string }{
		{"none", ""},
		{"addresses", "red: " + strings.Join(third, " ")},
		{"patterns", "red: 10.0.1.*; blue: 10.0.0.0/24 10.0.2-9.*; green: 0.0.0.0:1 10.0.*.7"},
		{"match", "red: env=x; blue: env=y zone=b"},
		{"force", "red: env=x; force"},
	} {
		rules := rulesOf(b, rule.text)
		b.Run("rule="+rule.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Build(list, Options{Ramp: ramp, Rules: rules})
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "ms/op")
		})
	}
}
