// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// TestDecodeNothing: no rule, and no fault.
func TestDecodeNothing(t *testing.T) {
	for _, text := range []string{"", " \n", "# nothing\n", "# a\n---\n# b\n", "---\n", "---\n...\n", "null", "~\n", "%YAML1.2\n---\n"} {
		if r, err := DecodeRule("order", "test", text); r != nil || err != nil {
			t.Errorf("%q: %v, %v; want neither a rule nor an error", text, r, err)
		}
	}
}

// TestDecodeFiles: the texts that Dubbo's documents show and its tools write, each
// with what it must come to.
func TestDecodeFiles(t *testing.T) {
	want := map[string]struct {
		tags                  []string
		defined               []string
		active, force         bool
		priority              int
		in, out               string // addresses of instances in and out of the first tag's lane
		inParams, outOfParams string // or their parameters env
	}{
		"java-comment.yaml":    {[]string{"tag1", "tag2"}, []string{"tag1", "tag2"}, true, true, 1, "10.0.0.1:1", "10.0.0.3:1", "", ""},
		"java-v27.yaml":        {[]string{"tag1", "tag2", "tag3", "tag4"}, []string{"tag2"}, false, false, 1, "", "", "", ""},
		"website.yaml":         {[]string{"gray"}, []string{"gray"}, true, true, 0, "", "", "gray", "blue"},
		"website-crlf.yaml":    {[]string{"gray"}, []string{"gray"}, true, true, 0, "", "", "gray", "blue"},
		"admin-template.yaml":  {[]string{"tag1", "tag2"}, []string{"tag1", "tag2"}, true, false, 0, "192.168.0.1:20881", "192.168.0.2:20882", "", ""},
		"admin-dump.yaml":      {[]string{"gray"}, nil, true, true, 0, "", "", "", ""},
		"admin-go.yaml":        {[]string{"gray"}, []string{"gray"}, true, false, 0, "", "", "gray", "blue"},
		"admin-mesh.json":      {[]string{"gray"}, []string{"gray"}, true, false, 3, "", "", "gray", "blue"},
		"anchors.yaml":         {[]string{"gray", "green"}, []string{"gray", "green"}, true, false, 0, "10.0.0.1:20880", "10.0.0.2:20880", "", ""},
		"yaml11.yaml":          {[]string{"gray"}, []string{"gray"}, true, true, 0, "10.0.0.1:20880", "10.0.0.2:20880", "", ""},
		"documents-empty.yaml": {nil, nil, false, false, 0, "", "", "", ""},
	}
	files, err := filepath.Glob("testdata/rules/*")
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d files, %v; want %d", len(files), err, len(want))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(file)
		w := want[name]
		r, err := DecodeRule("order", name, string(text))
		if err != nil || r == nil {
			t.Errorf("%s: %v, %v", name, r, err)
			continue
		}
		var defined []string
		for _, tag := range r.Tags() {
			if r.defines(tag) {
				defined = append(defined, tag)
			}
		}
		if !slices.Equal(r.Tags(), w.tags) || !slices.Equal(defined, w.defined) || r.Active() != w.active || r.force != w.force || r.priority != w.priority || r.app != "order" || r.source != name {
			t.Errorf("%s: tags %q, defined %q, active %t, force %t, priority %d; want %+v", name, r.Tags(), defined, r.Active(), r.force, r.priority, w)
		}
		for address, want := range map[string]bool{w.in: true, w.out: false} {
			if address != "" && r.tags[0].matches(&candidate{address: address}, false) != want {
				t.Errorf("%s: %s is in the lane: %t", name, address, !want)
			}
		}
		for env, want := range map[string]bool{w.inParams: true, w.outOfParams: false} {
			u := common.NewURLWithOptions(common.WithParamsValue("env", env))
			if env != "" && r.tags[0].matches(&candidate{address: "10.0.0.1:1", list: invokers{base.NewBaseInvoker(u)}}, false) != want {
				t.Errorf("%s: env=%s is in the lane: %t", name, env, !want)
			}
		}
	}
}

// TestFaults: each fault is told with the path of its key and its line, and those
// that are there all at once.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string // in each line of the error, in order
	}{
		{"unknown key", "force: true\nforec: true\n", []string{"forec: line 2: unknown key"}},
		{"unknown key of a tag", "tags:\n- name: gray\n  adresses: []\n", []string{"tags[0].adresses: line 3: unknown key"}},
		{
			"unknown key of a condition", "configVersion: v3.0\ntags:\n- name: gray\n  match:\n  - key: env\n    value: {suffix: y}\n",
			[]string{"tags[0].match[0].value.suffix: line 6: unknown key", "tags[0].match[0].value: line 6: want one of exact"},
		},
		{
			"a bad range", "configVersion: v3.0\ntags:\n- name: gray\n  match:\n  - key: port\n    value:\n      range: 3~1\n",
			[]string{`tags[0].match[0].value: line 7: range: got "3~1", want low~high`},
		},
		{"a key twice", "force: true\nforce: false\n", []string{"force: line 2: got this key twice"}},
		{"configVersion", "configVersion: v3.1\n", []string{`configVersion: line 1: got "v3.1", want "v3.0" or "v2.7"`}},
		{"configVersion of another kind", "configVersion: 3.0\n", []string{`configVersion: line 1: got "3.0"`}},
		{"scope", "scope: service\n", []string{`scope: line 1: got "service", want "application"`}},
		{"a flag", "enabled: maybe\n", []string{`enabled: line 1: got "maybe", want true or false`}},
		{"a flag of another kind", "force: [true]\n", []string{"force: line 1: got a list, want a text"}},
		{"priority", "priority: high\n", []string{`priority: line 1: got "high", want a number`}},
		{"tags are no list", "tags: {name: gray}\n", []string{"tags: line 1: got keys and values, want a list"}},
		{"a tag is no mapping", "tags:\n- gray\n", []string{`tags[0]: line 2: got "gray", want keys and values`}},
		{"no name", "tags:\n- addresses: [10.0.0.1]\n", []string{"tags[0].name: line 2: tag: invalid: length: got 0 bytes"}},
		{"a name that is no tag", "tags:\n- name: gray lane\n", []string{"tags[0].name: line 2: tag: invalid"}},
		{"a name twice", "tags:\n- name: gray\n- name: blue\n- name: gray\n", []string{`tags[2].name: line 4: got "gray" twice`}},
		{
			"addresses and match", "configVersion: v3.0\ntags:\n- name: gray\n  addresses: [10.0.0.1]\n  match:\n  - {key: env, value: {exact: gray}}\n",
			[]string{"tags[0].match: line 6: got match and addresses, want one of them"},
		},
		{"match in v2.7", "configVersion: v2.7\ntags:\n- name: gray\n  match:\n  - {key: env, value: {exact: gray}}\n", []string{"tags[0].match: line 5: wants configVersion v3.0"}},
		{"a network", "tags:\n- name: gray\n  addresses:\n  - 10.0.0.1\n  - 10.0.0.0/33\n", []string{`tags[0].addresses[1]: line 5: got "10.0.0.0/33", want a prefix length of 0 to 32`}},
		{"a range", "tags:\n- name: gray\n  addresses: [10.0.0.3-1]\n", []string{`tags[0].addresses[0]: line 3: got "10.0.0.3-1", want a number, a range or * for part "3-1"`}},
		{"an address of another kind", "tags:\n- name: gray\n  addresses: [[10.0.0.1]]\n", []string{"tags[0].addresses[0]: line 3: got a list, want a text"}},
		{"a regular expression", "configVersion: v3.0\ntags:\n- name: gray\n  match:\n  - key: env\n    value:\n      regex: \"(\"\n", []string{"tags[0].match[0].value: line 7: regex: error parsing regexp"}},
		{"a condition without key", "configVersion: v3.0\ntags:\n- name: gray\n  match:\n  - value: {exact: gray}\n", []string{"tags[0].match[0].key: line 5: want the name of a parameter"}},
		{"a condition without value", "configVersion: v3.0\ntags:\n- name: gray\n  match:\n  - key: env\n", []string{"tags[0].match[0].value: line 5: want one of exact"}},
		{"no mapping at all", "gray\n", []string{`text: line 1: got "gray", want keys and values`}},
		{"no YAML", "force: true\ntags: [\n", []string{"text: yaml: line "}},
		{"two documents", "force: true\n---\nforce: false\n", []string{"text: line 2: got a second document, want one"}},
		{"several", "force: 1\ntags:\n- name: gray\n  addresses: [10.0.0, 10.0.0.1, 10.0.0.256]\n- name: \"\"\n", []string{
			`force: line 1: got "1"`, "tags[0].addresses[0]: line 4: ", "tags[0].addresses[2]: line 4: ", "tags[1].name: line 5: ",
		}},
	} {
		r, err := DecodeRule("order", "nacos", tc.text)
		if err == nil || r != nil {
			t.Errorf("%s: %v, %v; want faults", tc.name, r, err)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(tc.want) {
			t.Errorf("%s: %d faults, want %d:\n%v", tc.name, len(lines), len(tc.want), err)
			continue
		}
		for n, line := range lines {
			if !strings.HasPrefix(line, `tag rule of "order" (nacos): `+tc.want[n]) {
				t.Errorf("%s: %q, want %q", tc.name, line, tc.want[n])
			}
		}
	}
}

// TestHostileText: neither what is read nor what is reported grows without bound.
func TestHostileText(t *testing.T) {
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	aliases := "tags:\n- &a\n  name: gray\n  addresses: [" + strings.Repeat("10.0.0.1, ", 4000) + "]\n" + strings.Repeat("- *a\n", 1000)
	for _, tc := range []struct{ name, text, want string }{
		{"too long", strings.Repeat("#", MaxRuleBytes+1), "got 1048577 bytes, want at most 1048576"},
		{"too many tags", "tags:\n" + repeat(maxTags+1, "- name: t%d\n"), "got more than 1024"},
		{"too many addresses", "tags: [{name: gray, addresses: [" + strings.Repeat("1.1.1.1,", maxEntries+1) + "]}]", "got more than 65536 addresses and conditions"},
		{"aliases multiply", aliases, "got more than 65536 addresses and conditions"},
		{"many faults", repeat(10_000, "key%d: 1\n"), "and 9980 more faults"},
		{"a long value", "scope: " + strings.Repeat("x", 100_000), "…"},
		{"deep", "tags: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000), "tags[0]: line 1: got a list"},
	} {
		r, err := DecodeRule("order", "test", tc.text)
		if err == nil || r != nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, %.300v; want %q", tc.name, r, err, tc.want)
		} else if len(err.Error()) > 16384 {
			t.Errorf("%s: the error has %d bytes", tc.name, len(err.Error()))
		}
	}
}

func TestStaticRule(t *testing.T) {
	yes, no := true, false
	match := func(s common.StringMatch) []*common.ParamMatch { return []*common.ParamMatch{{Key: "env", Value: s}} }
	gray := []global.Tag{{Name: "gray", Addresses: []string{"10.0.0.1"}}}
	for _, tc := range []struct {
		name   string
		cfg    *global.RouterConfig
		faults []string
		active bool
	}{
		{"addresses", &global.RouterConfig{Scope: "application", Key: "order", Tags: gray}, nil, true},
		{"conditions", &global.RouterConfig{Key: "order", Tags: []global.Tag{{Name: "gray", Match: match(common.StringMatch{Exact: "gray"})}}, Force: &yes}, nil, true},
		{"enabled and valid", &global.RouterConfig{Key: "order", Enabled: &yes, Valid: &yes, Tags: gray}, nil, true},
		{"disabled", &global.RouterConfig{Key: "order", Enabled: &no, Tags: gray}, nil, false},
		{"invalid", &global.RouterConfig{Key: "order", Valid: &no, Tags: gray}, nil, false},
		{"all that can be wrong", &global.RouterConfig{Scope: "service", Tags: []global.Tag{
			{Name: "", Addresses: []string{"10.0.0"}},
			{Name: "gray", Addresses: []string{"10.0.0.1"}, Match: append(match(common.StringMatch{Regex: "("}), nil)},
		}}, []string{
			"key: want the provider application", `scope: got "service"`, "tags[0].addresses[0]: got ", "tags[0].name: ",
			"tags[1]: got addresses and match", "tags[1].match[0].value: regex: ", "tags[1].match[1]: want a key and a value",
		}, false},
	} {
		r, err := StaticRule(tc.cfg)
		if tc.faults == nil {
			if err != nil || r.Active() != tc.active || r.app != "order" || r.force != (tc.cfg.Force == &yes) {
				t.Errorf("%s: %+v, %v", tc.name, r, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s: no faults", tc.name)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		for n, want := range tc.faults {
			if n >= len(lines) || !strings.Contains(lines[n], "(routers of dubbogo.yml): "+want) {
				t.Errorf("%s: want fault %d to be %q:\n%v", tc.name, n, want, err)
			}
		}
	}
	for _, cfg := range []*global.RouterConfig{nil, {}, {Scope: "service", Key: "com.shop.Order", Conditions: []string{"=> host = 10.0.0.1"}}} {
		if r, err := StaticRule(cfg); r != nil || err != nil {
			t.Errorf("%+v: %v, %v; want neither, it belongs to another router", cfg, r, err)
		}
	}
}

// TestStaticMatch: the conditions of dubbogo.yml are those of rules, each under its own
// name, in both ways.
func TestStaticMatch(t *testing.T) {
	list := fleet(":u?env=gray :u?env=grayish :u?env=x :u")
	for _, tc := range []struct {
		match common.StringMatch
		want  string
	}{
		{common.StringMatch{Exact: "gray"}, "0"},
		{common.StringMatch{Prefix: "gray"}, "0 1"},
		{common.StringMatch{Regex: "gray.+"}, "1"},
		{common.StringMatch{Wildcard: "*"}, "0 1 2"},
		{common.StringMatch{Noempty: "true"}, "0 1 2"},
		{common.StringMatch{Empty: "true"}, "3"},
	} {
		r, err := StaticRule(&global.RouterConfig{Key: provider, Tags: []global.Tag{{Name: "gray", Match: []*common.ParamMatch{{Key: "env", Value: tc.match}}}}})
		if err != nil {
			t.Errorf("%+v: %v", tc.match, err)
			continue
		}
		for _, java := range []bool{false, true} {
			d, err := Build(list, Options{Ramp: ramp, Rules: func(string) *Rule { return r }, Java: java}).Route("gray", true)
			if err != nil || served(list, d) != tc.want {
				t.Errorf("%+v, java %t: %s, %v; want %s", tc.match, java, served(list, d), err, tc.want)
			}
		}
	}
}

// FuzzDecodeRule: whatever the text, either it is no rule, or it has faults that
// name the application, or it is a rule by which a fleet can be routed.
func FuzzDecodeRule(f *testing.F) {
	files, err := filepath.Glob("testdata/rules/*")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("tags: [&a {name: *a}]")
	f.Add("tags:\n- name: gray\n  addresses: ['*', 0.0.0.0:1, 10.0.0.0/8, 10.0.0.1-3, '[::1]:1', order-0]\n")
	list := fleet(":u gray:u?env=gray a|b:c tag1:o")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := DecodeRule(provider, "fuzz", text)
		if err != nil {
			if r != nil || !strings.Contains(err.Error(), provider) {
				t.Fatalf("%v, %v", r, err)
			}
			return
		}
		if r == nil {
			return
		}
		for _, java := range []bool{false, true} {
			s := Build(list, Options{Ramp: ramp, Rules: func(string) *Rule { return r }, Java: java})
			for _, wanted := range append(r.Tags(), "", "gray", "a|b|c") {
				for _, force := range []bool{false, true} {
					if d, err := s.Route(wanted, force); err == nil && d.Pool.Len() == 0 {
						t.Fatalf("wanted %q: an empty pool", wanted)
					}
				}
			}
		}
	})
}
