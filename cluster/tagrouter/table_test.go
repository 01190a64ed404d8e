// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
)

const provider = "order" // the application where a row names none

// member is one instance of a fleet.
type member struct{ app, tag, state, query string }

// read takes "cart/gray:c?env=x" apart: application, tag, state (usable, closing,
// outlier, both, or removed from the registry's list), parameters.
func read(word string) member {
	m := member{app: provider}
	if app, rest, ok := strings.Cut(word, "/"); ok {
		m.app, word = app, rest
	}
	word, m.query, _ = strings.Cut(word, "?")
	m.tag, m.state, _ = strings.Cut(word, ":")
	return m
}

// fleet makes the endpoints of words such as "gray:u gray:c :o". The n-th is at
// 10.0.0.n:20000.
func fleet(text string) []*endpoint.Endpoint {
	var list []*endpoint.Endpoint
	table := new(endpoint.Table)
	for n, word := range strings.Fields(text) {
		m := read(word)
		e := &endpoint.Endpoint{
			Instance: table.Acquire(address(n), "a", m.app, endpoint.Birth{}),
			Invoker:  base.NewBaseInvoker(m.url(n)), Tag: m.tag, Weight: 100,
		}
		if strings.ContainsAny(m.state, "cb") {
			e.MarkClosing()
		}
		if strings.ContainsAny(m.state, "ob") {
			e.SetOutlier(true)
		}
		if m.state == "r" {
			e.SetRemoved(true)
		}
		list = append(list, e)
	}
	return list
}

func (m member) url(n int) *common.URL {
	u := common.NewURLWithOptions(common.WithIp(strings.TrimSuffix(address(n), ":20000")), common.WithPort("20000"),
		common.WithProtocol(constant.TriProtocol), common.WithParamsValue(constant.ApplicationKey, m.app))
	if m.tag != "" {
		u.SetParam(constant.Tagkey, m.tag)
	}
	q, err := url.ParseQuery(m.query)
	if err != nil {
		panic(err)
	}
	for k := range q {
		u.SetParam(k, q.Get(k))
	}
	return u
}

// ruleText writes a rule in Dubbo's form: "gray: 10.0.0.1 *; blue: env=blue; force"
// has addresses for one tag, a condition for another. Further words: disabled,
// invalid, unversioned, and "gray: []" for an empty match.
func ruleText(short string) string {
	head, tags := "configVersion: v3.0\nenabled: true\n", ""
	for part := range strings.SplitSeq(short, ";") {
		switch part = strings.TrimSpace(part); part {
		case "":
		case "force":
			head += "force: true\n"
		case "disabled":
			head = strings.Replace(head, "enabled: true", "enabled: false", 1)
		case "invalid":
			head += "valid: false\n"
		case "unversioned":
			head = strings.TrimPrefix(head, "configVersion: v3.0\n")
		default:
			name, items, _ := strings.Cut(part, ":")
			tags += fmt.Sprintf("- name: %q\n", name)
			var addresses, match []string
			for item := range strings.FieldsSeq(items) {
				if key, value, ok := strings.Cut(item, "="); ok {
					match = append(match, fmt.Sprintf("{key: %q, value: {exact: %q}}", key, value))
				} else if item == "[]" {
					tags += "  match: []\n"
				} else {
					addresses = append(addresses, strconv.Quote(item))
				}
			}
			if match != nil {
				tags += "  match: [" + strings.Join(match, ", ") + "]\n"
			}
			if addresses != nil {
				tags += "  addresses: [" + strings.Join(addresses, ", ") + "]\n"
			}
		}
	}
	if tags != "" {
		head += "tags:\n" + tags
	}
	return head
}

// rulesOf reads "order> gray: *; force || cart> gray: 10.0.0.2"; without a name the
// rule is the provider's.
func rulesOf(tb testing.TB, text string) func(string) *Rule {
	tb.Helper()
	rules := map[string]*Rule{}
	for part := range strings.SplitSeq(text, "||") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		app, short, ok := strings.Cut(part, ">")
		if !ok {
			app, short = provider, part
		}
		app = strings.TrimSpace(app)
		r, err := DecodeRule(app, "the test", ruleText(short))
		if err != nil {
			tb.Fatalf("rule %q: %v\n%s", part, err, ruleText(short))
		}
		rules[app] = r
	}
	return func(app string) *Rule { return rules[app] }
}

// served names the pool of a decision: the positions of its endpoints in the list.
func served(list []*endpoint.Endpoint, d Decision) string {
	var at []int
	for _, e := range d.Pool.All() {
		at = append(at, slices.Index(list, e))
	}
	slices.Sort(at)
	return strings.Trim(fmt.Sprint(at), "[]")
}

const none = "-" // an error

// row is one line of the table: a call, the rules, the instances, and where the
// call goes.
type row struct {
	name   string
	rules  string // see rulesOf
	fleet  string // see fleet
	wanted string
	force  bool // dubbo.force.tag
	opt    Options

	pool   string // positions, or none
	level  string
	reason Reason
	last   bool

	java string // what Dubbo Java 3.3 gives, and compat: java
}

// Options of rows that have any.
var (
	seen    = Options{BaselineSeen: true}
	anyTag  = Options{UntaggedAny: true}
	seenAny = Options{UntaggedAny: true, BaselineSeen: true}
)

// table is every row of the ladder, with and without rules. The last column is
// worked out from TagStateRouter, TagRouterRule and NetUtils of Dubbo Java 3.3,
// which know neither closing instances nor outliers. `any` is a setting of ours
// that holds in both.
var table = []row{
	// Without rules, wanted gray.
	{"gray: usable", "", "gray:u :u gray:c", "gray", false, Options{}, "0", "gray", "", false, "0 2"},
	{"gray: closing only", "", "gray:c :u", "gray", false, Options{}, "1", "", Closing, false, "0"},
	{"gray: removed from the list only", "", "gray:r :u", "gray", false, Options{}, "1", "", Closing, false, "0"},
	{"gray: empty", "", ":u :u", "gray", false, Options{}, "0 1", "", NoInstance, false, "0 1"},
	{"gray: outliers only", "", "gray:o gray:o :u", "gray", false, Options{}, "2", "", Outlier, false, "0 1"},
	{"gray: closing and outlier", "", "gray:c gray:o :u", "gray", false, Options{}, "2", "", Closing, false, "0 1"},
	{"gray: force, usable", "", "gray:u :u", "gray", true, Options{}, "0", "gray", "", false, "0"},
	{"gray: force, closing only", "", "gray:c :u", "gray", true, Options{}, "0", "gray", "", true, "0"},
	{"gray: force, empty", "", ":u", "gray", true, Options{}, none, "", "", false, none},
	{"gray: force, outliers only", "", "gray:o :u", "gray", true, Options{}, "0", "gray", "", true, "0"},
	{"gray: never another tag", "", "blue:u", "gray", false, Options{}, none, "", "", false, none},
	{"gray: never another tag, also with any", "", "blue:u", "gray", false, anyTag, none, "", "", false, none},
	{"gray: nothing at all", "", "", "gray", false, Options{}, none, "", "", false, none},
	// Levels. Java has none for the instances' own tags.
	{"a|b: usable", "", "a|b:u a:u :u", "a|b", false, Options{}, "0", "a|b", "", false, "0"},
	{"a|b: closing only", "", "a|b:c a:u :u", "a|b", false, Options{}, "1", "a", Closing, false, "0"},
	{"a|b: empty", "", "a:u :u", "a|b", false, Options{}, "0", "a", NoInstance, false, "1"},
	{"a|b: outliers only", "", "a|b:o a:u :u", "a|b", false, Options{}, "1", "a", Outlier, false, "0"},
	{"a|b: then baseline", "", "a|b:c a:o :u", "a|b", false, Options{}, "2", "", Closing, false, "0"},
	{"a|b: baseline only", "", ":u", "a|b", false, Options{}, "0", "", NoInstance, false, "0"},
	{"a|b: force", "", "a:u :u", "a|b", true, Options{}, none, "", "", false, none},
	{"a|b: force, closing only", "", "a|b:c a:u", "a|b", true, Options{}, "0", "a|b", "", true, "0"},
	{"a|b|c: down to a|b", "", "a|b:u a:u :u", "a|b|c", false, Options{}, "0", "a|b", NoInstance, false, "2"},
	{"a|b|c: down to a", "", "a|b|c:o a|b:c a:u :u", "a|b|c", false, Options{}, "2", "a", Outlier, false, "0"},
	{"a|b|c: not up", "", "a|b|c:u :u", "a|b", false, Options{}, "1", "", NoInstance, false, "1"},
	{"a: not b", "", "b:u a|b:u :u", "a", false, Options{}, "2", "", NoInstance, false, "2"},
	// No level usable: the highest level's closing one, then outliers.
	{"gray and baseline closing", "", ":c gray:c", "gray", false, Options{}, "1", "gray", "", true, "1"},
	{"gray outlier, baseline closing", "", ":c gray:o", "gray", false, Options{}, "0", "", Outlier, true, "1"},
	{"gray outlier, no baseline", "", "gray:o", "gray", false, Options{}, "0", "gray", "", true, "0"},
	{"a|b gone, a closing, baseline closing", "", "a:c :c", "a|b", false, Options{}, "0", "a", NoInstance, true, "1"},
	{"closing and outlier at once is closing", "", "gray:b", "gray", false, Options{}, "0", "gray", "", true, "0"},
	// Wanted none.
	{"none: baseline", "", ":u gray:u", "", false, Options{}, "0", "", "", false, "0"},
	{"none: baseline closing", "", ":c gray:u", "", false, Options{}, "0", "", "", true, "0"},
	{"none: baseline closing and usable", "", ":c :u gray:u", "", false, Options{}, "1", "", "", false, "0 1"},
	{"none: baseline empty", "", "gray:u", "", false, seen, none, "", "", false, none},
	{"none: force is of no account", "", "gray:u :u", "", true, Options{}, "1", "", "", false, "1"},
	{"none: outliers only are tried, never gray", "", ":o gray:u", "", false, seen, "0", "", "", true, "0"},
	{"none: nothing at all", "", "", "", false, Options{}, none, "", "", false, none},
	// A fleet tagged throughout.
	{"none: tagged throughout", "", "prod:u prod:u", "", false, Options{}, "0 1", "", Untagged, false, none},
	{"none: tagged throughout, some closing", "", "prod:c blue:u", "", false, Options{}, "1", "", Untagged, false, none},
	{"none: tagged throughout, all closing", "", "prod:c", "", false, Options{}, "0", "", Untagged, true, none},
	{"none: any", "", "prod:u", "", false, seenAny, "0", "", Untagged, false, "0"},
	{"none: any, but there is a baseline", "", "prod:u :c", "", false, anyTag, "1", "", "", true, "1"},
	{"gray: tagged throughout", "", "prod:u", "gray", false, Options{}, none, "", "", false, none},

	// A rule with addresses.
	{"rule: its lane", "gray: 10.0.0.0", ":u :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"rule: out of the baseline", "gray: 10.0.0.0", ":u :u", "", false, Options{}, "1", "", "", false, "1"},
	{"rule: a tag that it does not name", "gray: 10.0.0.0", ":u :u", "blue", false, Options{}, "1", "", NoInstance, false, "1"},
	{"rule: it alone says who is gray", "gray: 10.0.0.1", "gray:u :u :u", "gray", false, Options{}, "1", "gray", "", false, "1"},
	{"rule: nor is the other one baseline", "gray: 10.0.0.1", "gray:u :u :u", "", false, Options{}, "2", "", "", false, "2"},
	{"rule: nobody is there", "gray: 10.9.9.9", "gray:u :u", "gray", false, Options{}, "1", "", NoInstance, false, "1"},
	{"rule: nobody is there, call forces", "gray: 10.9.9.9", "gray:u :u", "gray", true, Options{}, none, "", "", false, none},
	{"rule: closing", "gray: 10.0.0.0", ":c :u", "gray", false, Options{}, "1", "", Closing, false, "0"},
	{"rule: removed", "gray: 10.0.0.0", ":r :u", "gray", false, Options{}, "1", "", Closing, false, "0"},
	{"rule: outlier", "gray: 10.0.0.0", ":o :u", "gray", false, Options{}, "1", "", Outlier, false, "0"},
	{"rule: closing, call forces", "gray: 10.0.0.0", ":c :u", "gray", true, Options{}, "0", "gray", "", true, "0"},
	{"rule: usable, call forces", "gray: 10.0.0.0", ":u :u", "gray", true, Options{}, "0", "gray", "", false, "0"},
	{"rule: closing, baseline closing", "gray: 10.0.0.0", ":c :c", "gray", false, Options{}, "0", "gray", "", true, "0"},
	{"rule: baseline closing, gray usable", "gray: 10.0.0.0", ":u :c", "", false, Options{}, "1", "", "", true, "1"},
	{"rule: baseline outlier, gray usable", "gray: 10.0.0.0", ":u :o", "", false, Options{}, "1", "", "", true, "1"},
	{"rule: an own tag that it does not name stays", "gray: 10.0.0.0", "blue:u :u", "blue", false, Options{}, "0", "blue", "", false, "0"},
	{"rule: and is in its lane too", "gray: 10.0.0.0", "blue:u :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"rule: several lanes, gray", "gray: 10.0.0.0; blue: 10.0.0.0-1", ":u :u :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"rule: several lanes, blue", "gray: 10.0.0.0; blue: 10.0.0.0-1", ":u :u :u", "blue", false, Options{}, "0 1", "blue", "", false, "0 1"},
	{"rule: several lanes, none", "gray: 10.0.0.0; blue: 10.0.0.0-1", ":u :u :u", "", false, Options{}, "2", "", "", false, "2"},
	{"rule: fallback never into its other lane", "gray: 10.0.0.0; blue: 10.0.0.1", ":c :u :u", "gray", false, Options{}, "2", "", Closing, false, "0"},
	{"rule: all are gray, none", "gray: *", ":u :u", "", false, Options{}, none, "", "", false, none},
	{"rule: all are gray, none, any", "gray: *", ":u :u", "", false, anyTag, "0 1", "", Untagged, false, "0 1"},
	{"rule: all are gray, blue", "gray: *", ":u :u", "blue", false, Options{}, none, "", "", false, none},
	{"rule: all tagged by themselves and by it", "gray: *", "prod:u", "", false, Options{}, "0", "", Untagged, false, none},
	// Force by rule.
	{"rule forces: usable", "gray: 10.0.0.0; force", ":u :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"rule forces: nobody is there", "gray: 10.9.9.9; force", ":u", "gray", false, Options{}, none, "", "", false, none},
	{"rule forces: closing", "gray: 10.0.0.0; force", ":c :u", "gray", false, Options{}, "0", "gray", "", true, "0"},
	{"rule forces: outlier", "gray: 10.0.0.0; force", ":o :u", "gray", false, Options{}, "0", "gray", "", true, "0"},
	{"rule forces: not for tags that it does not name", "gray: 10.0.0.0; force", ":u :u", "blue", false, Options{}, "1", "", NoInstance, false, "1"},
	{"rule forces: nor for calls without", "gray: 10.0.0.0; force", ":u :u", "", false, Options{}, "1", "", "", false, "1"},
	{"rule forces: conditions that nobody satisfies", "gray: env=gray; force", ":u", "gray", false, Options{}, none, "", "", false, "0"},
	{"rule forces: a tag of which it says nothing", "gray:; force", ":u", "gray", false, Options{}, "0", "", NoInstance, false, "0"},
	// Conditions.
	{"match: its lane", "gray: env=gray", ":u?env=gray :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"match: out of the baseline", "gray: env=gray", ":u?env=gray :u", "", false, Options{}, "1", "", "", false, "1"},
	{"match: all conditions", "gray: env=gray zone=b", ":u?env=gray&zone=a :u?env=gray&zone=b :u", "gray", false, Options{}, "1", "gray", "", false, "1"},
	{"match: nobody, own tags stand", "gray: env=gray", "gray:u :u", "gray", false, Options{}, "0", "gray", "", false, "0"},
	{"match: somebody, own tags do not", "gray: env=gray", "gray:u :u?env=gray :u", "gray", false, Options{}, "1", "gray", "", false, "1"},
	{"match: closing", "gray: env=gray", ":c?env=gray :u", "gray", false, Options{}, "1", "", Closing, false, "0"},
	{"match: without configVersion", "gray: env=gray; unversioned", ":u?env=gray :u", "gray", false, Options{}, "0", "gray", "", false, "0 1"},
	{"match: without configVersion, none", "gray: env=gray; unversioned", ":u?env=gray :u", "", false, Options{}, "1", "", "", false, "0 1"},
	{"match: an empty list says nothing", "gray: []", ":u :u", "gray", false, Options{}, "0 1", "", NoInstance, false, "0 1"},
	{"match: an empty list, none", "gray: []", ":u :u", "", false, Options{}, "0 1", "", "", false, none},
	// Levels by rule. Java takes the first that the rule has addresses or instances for.
	{"rule a, a|b: a|b", "a: 10.0.0.0; a|b: 10.0.0.1", ":u :u :u", "a|b", false, Options{}, "1", "a|b", "", false, "1"},
	{"rule a, a|b: a|b|c", "a: 10.0.0.0; a|b: 10.0.0.1", ":u :u :u", "a|b|c", false, Options{}, "1", "a|b", NoInstance, false, "1"},
	{"rule a, a|b: a|x", "a: 10.0.0.0; a|b: 10.0.0.1", ":u :u :u", "a|x", false, Options{}, "0", "a", NoInstance, false, "0"},
	{"rule a, a|b: a|x, call forces", "a: 10.0.0.0; a|b: 10.0.0.1", ":u :u :u", "a|x", true, Options{}, none, "", "", false, none},
	{"rule a, a|b: closing", "a: 10.0.0.0; a|b: 10.0.0.1", ":u :c :u", "a|b", false, Options{}, "0", "a", Closing, false, "1"},
	{"rule a, a|b: nobody in a|b", "a: 10.0.0.0; a|b: 10.9.9.9", ":u :u :u", "a|b", false, Options{}, "0", "a", NoInstance, false, "1 2"},
	{"rule a, own tag a|b", "a: 10.0.0.0", ":u a|b:u :u", "a|b", false, Options{}, "1", "a|b", "", false, "0"},
	{"rule a by match, nobody, own tag a", "a: env=x", "a:u :u", "a|b", false, Options{}, "0", "a", NoInstance, false, "1"},
	{"rule a forces: a|b", "a: 10.0.0.0; force", ":c :u", "a|b", false, Options{}, "0", "a", NoInstance, true, "0"},
	{"rule a forces: a|b, nobody", "a: 10.9.9.9; force", ":u", "a|b", false, Options{}, none, "", "", false, none},
	{"rule a, a|b forces: nobody in a|b", "a: 10.0.0.0; a|b: 10.9.9.9; force", ":u :u", "a|b", false, Options{}, none, "", "", false, none},
	{"rule a, a|b forces: a|b|c", "a: 10.0.0.0; a|b: 10.9.9.9; force", ":u :u", "a|b|c", false, Options{}, none, "", "", false, none},
	// Rules that are there and not in force.
	{"disabled: gray", "gray: 10.0.0.0; force; disabled", ":u gray:u", "gray", false, Options{}, "1", "gray", "", false, "1"},
	{"disabled: none", "gray: 10.0.0.0; force; disabled", ":u gray:u", "", false, Options{}, "0", "", "", false, "0"},
	{"invalid: none", "gray: 10.0.0.0; invalid", ":u gray:u", "", false, Options{}, "0", "", "", false, "0"},
	{"no tags: gray", "force", ":u", "gray", false, Options{}, "0", "", NoInstance, false, "0"},
	// Two applications. Java knows the rule of the first instance's alone, and
	// applies it to all.
	{"two rules: gray", "order> gray: 10.0.0.0 || cart> gray: 10.0.0.2", ":u :u cart/:u cart/:u", "gray", false, Options{}, "0 2", "gray", "", false, "0"},
	{"two rules: none", "order> gray: 10.0.0.0 || cart> gray: 10.0.0.2", ":u :u cart/:u cart/:u", "", false, Options{}, "1 3", "", "", false, "1 2 3"},
	{"two rules: one lane closing", "order> gray: 10.0.0.0 || cart> gray: 10.0.0.2", ":c :u cart/:u cart/:u", "gray", false, Options{}, "2", "gray", "", false, "0"},
	{"a rule is not for the other's instances", "order> gray: 10.0.0.1", ":u cart/:u", "gray", false, Options{}, "0 1", "", NoInstance, false, "1"},
	{"nor is it when its own come second", "order> gray: 10.0.0.0-1", "cart/:u :u", "gray", false, Options{}, "1", "gray", "", false, "0 1"},
	{"a rule and an own tag", "order> gray: 10.0.0.0", ":u :u cart/gray:u cart/:u", "gray", false, Options{}, "0 2", "gray", "", false, "0"},
	{"one forces: the other's baseline", "order> gray: 10.9.9.9; force", ":u cart/:u", "gray", false, Options{}, "1", "", NoInstance, false, none},
	{"one forces: the other's baseline is closing", "order> gray: 10.9.9.9; force", ":u cart/:c", "gray", false, Options{}, "1", "", NoInstance, true, none},
	{"one forces: blue", "order> gray: 10.9.9.9; force", ":u cart/:u", "blue", false, Options{}, "0 1", "", NoInstance, false, "0 1"},
	{"one forces: gray|x", "order> gray: 10.9.9.9; force", ":u cart/:u", "gray|x", false, Options{}, "1", "", NoInstance, false, none},
	{"one forces: the other's a", "order> a|b: 10.9.9.9; a: 10.0.0.0; force || cart> a: 10.0.0.1", ":u cart/:u", "a|b", false, Options{}, "1", "a", NoInstance, false, none},
	{"both force", "order> gray: 10.9.9.9; force || cart> gray: 10.9.9.9; force", ":u cart/:u", "gray", false, Options{}, none, "", "", false, none},
}

// TestRefusalSaysWhy: a baseline that stands there and is only forbidden is not said to
// be missing.
func TestRefusalSaysWhy(t *testing.T) {
	for _, tc := range []struct {
		fleet, rules, wanted string
		force                bool
		want                 string
	}{
		{":u", "", "gray", true, `for tag "gray": no instance of it, and dubbo.force.tag forbids to fall back`},
		{"blue:u", "", "gray", false, `for tag "gray": no instance of it, nor a baseline`},
		{":u", "gray: 10.9.9.9; force", "gray", false, `for tag "gray": no instance of it, and the rule of "order" forbids to fall back`},
		{"gray:u", "", "", false, `without tag: only tagged instances are left`},
		{"", "", "", false, `: no instance is registered`},
		{"blue:u", "", "blue|x", true, `for tag "blue|x": no instance of it, and dubbo.force.tag forbids to fall back`},
	} {
		_, err := Build(fleet(tc.fleet), Options{Ramp: ramp, Rules: rulesOf(t, tc.rules), BaselineSeen: true}).Route(tc.wanted, tc.force)
		if err == nil || !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%s of %q, force %t: %v, want %s", tc.wanted, tc.fleet, tc.force, err, tc.want)
		}
	}
}

// TestTable holds every row, ours and Dubbo Java's.
func TestTable(t *testing.T) {
	names := map[string]bool{}
	for _, tc := range table {
		if names[tc.name] {
			t.Errorf("%s: two rows of this name", tc.name)
		}
		names[tc.name] = true
		list := fleet(tc.fleet)
		o := tc.opt
		o.Ramp, o.Rules = ramp, rulesOf(t, tc.rules)
		d, err := Build(list, o).Route(tc.wanted, tc.force)
		if tc.pool == none {
			if !errors.Is(err, endpoint.ErrNoEndpoint) {
				t.Errorf("%s: endpoints %s, %v; want an error that wraps ErrNoEndpoint", tc.name, served(list, d), err)
			} else if tc.wanted != "" && !strings.Contains(err.Error(), tc.wanted) {
				t.Errorf("%s: %q does not name the tag", tc.name, err)
			}
		} else if err != nil || served(list, d) != tc.pool || d.Level != tc.level || d.Reason != tc.reason || d.Last != tc.last {
			t.Errorf("%s: endpoints %s, level %q, reason %q, last %t, %v; want %s, %q, %q, %t",
				tc.name, served(list, d), d.Level, d.Reason, d.Last, err, tc.pool, tc.level, tc.reason, tc.last)
		}
		o.Java = true
		d, err = Build(list, o).Route(tc.wanted, tc.force)
		got := served(list, d)
		if err != nil {
			got = none
		}
		if got != tc.java {
			t.Errorf("%s: compat java gives %s, Dubbo Java %s", tc.name, got, tc.java)
		}
	}
}
