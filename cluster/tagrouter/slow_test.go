// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/graylane/graylane/cluster/endpoint"
)

// model is a rule as a person thinks of it: for each tag the addresses or the
// value of env that put an instance into its lane.
type model struct {
	active, force, v3 bool
	addresses         map[string][]int // positions in the fleet, 9 is nobody
	env               map[string]string
	order             []string
}

func (m *model) text() string {
	var parts []string
	for _, tag := range m.order {
		words := []string{tag + ":"}
		for _, n := range m.addresses[tag] {
			words = append(words, address(n))
		}
		if v := m.env[tag]; v != "" {
			words = append(words, "env="+v)
		}
		parts = append(parts, strings.Join(words, " "))
	}
	if m.force {
		parts = append(parts, "force")
	}
	if !m.active {
		parts = append(parts, "disabled")
	}
	if !m.v3 {
		parts = append(parts, "unversioned")
	}
	return strings.Join(parts, "; ")
}

var someTags = []string{"gray", "a", "a|b", "a|b|c", "b"}

func randomModel(r *rand.Rand) *model {
	m := &model{active: r.IntN(6) > 0, force: r.IntN(3) == 0, v3: r.IntN(4) > 0, addresses: map[string][]int{}, env: map[string]string{}}
	for _, tag := range someTags {
		if r.IntN(2) == 0 {
			continue
		}
		m.order = append(m.order, tag)
		switch r.IntN(5) {
		case 0: // says nothing
		case 1, 2:
			m.env[tag] = string("xyz"[r.IntN(3)])
		default:
			for range 1 + r.IntN(3) {
				m.addresses[tag] = append(m.addresses[tag], r.IntN(10))
			}
		}
	}
	return m
}

// world is one fleet with its rules.
type world struct {
	text  string
	words []member
	list  []*endpoint.Endpoint
	rules map[string]*model
}

func randomWorld(t *testing.T, r *rand.Rand) (*world, func(string) *Rule) {
	t.Helper()
	w := &world{rules: map[string]*model{}}
	var words, rules []string
	for range r.IntN(7) {
		word := []string{"", "", "cart/", "user/"}[r.IntN(4)] + append(someTags, "", "", "")[r.IntN(8)] + ":" + string("uuucobr"[r.IntN(7)])
		if r.IntN(2) == 0 {
			word += "?env=" + string("xyz"[r.IntN(3)])
		}
		words = append(words, word)
		w.words = append(w.words, read(word))
	}
	for _, app := range []string{provider, "cart"} {
		if r.IntN(3) > 0 {
			w.rules[app] = randomModel(r)
			rules = append(rules, app+"> "+w.rules[app].text())
		}
	}
	w.list = fleet(strings.Join(words, " "))
	w.text = fmt.Sprintf("fleet %q, rules %q", words, rules)
	return w, rulesOf(t, strings.Join(rules, " || "))
}

// in reports whether the n-th instance is in the lane of tag, by the rule m and its
// own tag. says: the rule alone decides for the tag, an own one does not count.
func (w *world) in(n int, m *model, tag string) bool {
	own := w.words[n].tag
	if m == nil || !m.active || len(m.order) == 0 {
		return own == tag
	}
	byRule := func(n int, tag string) bool {
		if v, ok := m.env[tag]; ok {
			return w.words[n].query == "env="+v
		}
		return slices.Contains(m.addresses[tag], n)
	}
	if tag == "" {
		for _, of := range m.order {
			if byRule(n, of) {
				return false
			}
		}
		return own == ""
	}
	says := len(m.addresses[tag]) > 0
	for k := range w.list {
		if m.env[tag] != "" && w.words[k].app == w.words[n].app {
			says = says || byRule(k, tag)
		}
	}
	if says {
		return byRule(n, tag)
	}
	return own == tag
}

// slow is the ladder as a reader of docs/rules.md would write it.
func (w *world) slow(o Options, wanted string, force bool) (Decision, bool) {
	levels := []string{wanted}
	if wanted != "" && !force {
		for parts := strings.Split(wanted, "|"); len(parts) > 1; {
			parts = parts[:len(parts)-1]
			levels = append(levels, strings.Join(parts, "|"))
		}
		levels = append(levels, "")
	}
	// may says that the rule of the instance's application does not forbid the level.
	may := func(n, level int) bool {
		m := w.rules[w.words[n].app]
		for _, above := range levels[:level] {
			if m != nil && m.active && m.force && (len(m.addresses[above]) > 0 || m.env[above] != "") {
				return false
			}
		}
		return true
	}
	group := func(level int) (out []*endpoint.Endpoint) {
		for n, e := range w.list {
			if may(n, level) && w.in(n, w.rules[w.words[n].app], levels[level]) {
				out = append(out, e)
			}
		}
		return out
	}
	var reason Reason
	if wanted == "" && len(group(0)) == 0 {
		own := slices.ContainsFunc(w.words, func(m member) bool { return m.tag == "" })
		if o.UntaggedAny || !o.BaselineSeen && !own {
			group = func(int) []*endpoint.Endpoint { return w.list }
			reason = Untagged
		}
	}
	fallback := NoInstance
	for _, e := range group(0) {
		if e.Closing() {
			fallback = Closing
		} else if e.Outlier() && fallback == NoInstance {
			fallback = Outlier
		}
	}
	for state := range 3 {
		for n, level := range levels {
			var in []*endpoint.Endpoint
			for _, e := range group(n) {
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

// slowJava follows TagStateRouter.doRoute of Dubbo Java 3.3 step by step: the rule
// is that of the first instance's application, states are unknown.
func (w *world) slowJava(wanted string, force bool) []*endpoint.Endpoint {
	if len(w.list) == 0 {
		return nil
	}
	m := w.rules[w.words[0].app]
	filter := func(keep func(n int) bool) (out []*endpoint.Endpoint) {
		for n, e := range w.list {
			if keep(n) {
				out = append(out, e)
			}
		}
		return out
	}
	if m == nil || !m.active || len(m.order) == 0 { // filterUsingStaticTag
		result := filter(func(n int) bool { return w.words[n].tag == wanted })
		if wanted != "" && len(result) == 0 && !force {
			result = filter(func(n int) bool { return w.words[n].tag == "" })
		}
		return result
	}
	addressesOf := map[string][]int{} // tagnameToAddresses
	for _, tag := range m.order {
		if len(m.addresses[tag]) > 0 {
			addressesOf[tag] = m.addresses[tag]
		} else if v := m.env[tag]; v != "" && m.v3 {
			for n, word := range w.words {
				if word.query == "env="+v {
					addressesOf[tag] = append(addressesOf[tag], n)
				}
			}
		}
	}
	listed := func(n int) bool {
		for _, a := range addressesOf {
			if slices.Contains(a, n) {
				return true
			}
		}
		return false
	}
	untagged := func(n int) bool { return !listed(n) && w.words[n].tag == "" }
	if wanted == "" {
		return filter(untagged)
	}
	var addresses []int // selectAddressByTagLevel
	if force || !strings.Contains(wanted, "|") {
		addresses = addressesOf[wanted]
	} else {
		parts := strings.Split(wanted, "|")
		for i := len(parts); i > 0 && addresses == nil; i-- {
			addresses = addressesOf[strings.Join(parts[:i], "|")]
		}
	}
	var result []*endpoint.Endpoint
	if addresses != nil {
		if result = filter(func(n int) bool { return slices.Contains(addresses, n) }); len(result) > 0 || m.force {
			return result
		}
	} else {
		result = filter(func(n int) bool { return w.words[n].tag == wanted })
	}
	if len(result) > 0 || force {
		return result
	}
	return filter(untagged)
}

// TestAgainstSlow compares with the rules written down one after the other, and
// compat java with Dubbo Java's own steps, on random fleets in any order and rules.
func TestAgainstSlow(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	worlds := 1_500
	if testing.Short() {
		worlds = 200
	}
	for range worlds {
		w, rules := randomWorld(t, r)
		o := Options{Ramp: ramp, Rules: rules, UntaggedAny: r.IntN(4) == 0, BaselineSeen: r.IntN(2) == 0}
		anyOrder := slices.Clone(w.list) // registries promise none
		r.Shuffle(len(anyOrder), func(i, j int) { anyOrder[i], anyOrder[j] = anyOrder[j], anyOrder[i] })
		s := Build(anyOrder, o)
		java := Build(anyOrder, Options{Ramp: ramp, Rules: rules, Java: true})
		for _, wanted := range append(someTags, "", "c", "a|c", "a|b|c|d", "gray|x", "|") {
			for _, force := range []bool{false, true} {
				want, ok := w.slow(o, wanted, force)
				got, err := s.Route(wanted, force)
				if ok != (err == nil) || ok && (served(w.list, got) != served(w.list, want) || got.Level != want.Level || got.Reason != want.Reason || got.Last != want.Last) {
					t.Fatalf("seed %d: %s, wanted %q, force %t, %+v:\ngot  %s %+v, %v\nwant %s %+v, %t",
						seed, w.text, wanted, force, o, served(w.list, got), got, err, served(w.list, want), want, ok)
				}
				if err != nil && !errors.Is(err, endpoint.ErrNoEndpoint) {
					t.Fatalf("seed %d: %v does not wrap ErrNoEndpoint", seed, err)
				}
				checkLadder(t, seed, s, wanted, force)
				checkShort(t, seed, s, wanted, force)
				checkShort(t, seed, java, wanted, force)
				theirs := endpoint.NewPool(w.slowJava(wanted, force), ramp)
				if got, _ := java.Route(wanted, force); served(w.list, got) != served(w.list, Decision{Pool: theirs}) {
					t.Fatalf("seed %d: %s, wanted %q, force %t: compat java gives %s, Dubbo Java %s",
						seed, w.text, wanted, force, served(w.list, got), served(w.list, Decision{Pool: theirs}))
				}
			}
		}
	}
}

// checkLadder: the first place is the decision, no place is empty or comes twice.
func checkLadder(t *testing.T, seed uint64, s *Snapshot, wanted string, force bool) {
	t.Helper()
	first, err := s.Route(wanted, force)
	seen := map[*endpoint.Pool]bool{}
	for d := range s.Ladder(wanted, force) {
		if len(seen) == 0 && d != first || d.Pool.Len() == 0 || seen[d.Pool] {
			t.Fatalf("seed %d: wanted %q, force %t: the ladder has %+v after %d others, Route says %+v", seed, wanted, force, d, len(seen), first)
		}
		seen[d.Pool] = true
	}
	if (len(seen) == 0) != (err != nil) {
		t.Fatalf("seed %d: wanted %q, force %t: %d places and %v", seed, wanted, force, len(seen), err)
	}
}

// checkShort: what calls ask first says what Route says, or leaves it to that.
func checkShort(t *testing.T, seed uint64, s *Snapshot, wanted string, force bool) {
	t.Helper()
	want, err := s.Route(wanted, force)
	first := s.First(wanted, force)
	if (first != nil) != (err == nil) || first != nil && *first != want {
		t.Fatalf("seed %d: wanted %q, force %t: First says %+v, Route %+v, %v", seed, wanted, force, first, want, err)
	}
	sure := s.Sure(wanted)
	if sure != nil && *sure != want {
		t.Fatalf("seed %d: wanted %q, force %t: Sure says %+v, Route %+v, %v", seed, wanted, force, *sure, want, err)
	}
	if own := err == nil && want.Level == wanted && want.Reason == "" && !want.Last; own && sure == nil {
		t.Fatalf("seed %d: wanted %q, force %t: Sure does not know of %+v", seed, wanted, force, want)
	}
}
