// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"errors"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"

	"github.com/graylane/graylane/cluster/tagrouter"
)

func router(app, tag string, priority int) *global.RouterConfig {
	return &global.RouterConfig{
		Scope: constant.RouterScopeApplication, Key: app, Priority: priority,
		Tags: []global.Tag{{Name: tag, Addresses: []string{"10.0.0.1:20000"}}},
	}
}

// TestStatic: which of the static rules is in force, and that the config centre's
// comes before it.
func TestStatic(t *testing.T) {
	no := false
	disabled := router("order", "off", 9)
	disabled.Enabled = &no
	disabled.Scope = "applications"
	misspelled := router("order", "misspelled", -1)
	misspelled.Scope = "applications"
	service := router("order", "service", 9)
	service.Scope = constant.RouterScopeService
	unscoped := router("order", "unscoped", 9)
	unscoped.Scope = ""
	bad := router("order", "bad", 9)
	bad.Tags[0].Addresses = []string{"not an address"}
	for _, tc := range []struct {
		name   string
		first  []*global.RouterConfig
		second []*global.RouterConfig // of another reference
		want   string
		faulty string // what the error names, "" for none
	}{
		{"none", nil, nil, "", ""},
		{"one", []*global.RouterConfig{router("order", "gray", 0)}, nil, "gray", ""},
		{"of another application", []*global.RouterConfig{router("cart", "gray", 0)}, nil, "", ""},
		{"other routers", []*global.RouterConfig{nil, {Scope: constant.RouterScopeApplication, Key: "order", Conditions: []string{"=> host = 1"}}, disabled}, nil, "", ""},
		{"the last of two", []*global.RouterConfig{router("order", "a", 0), router("order", "b", 0)}, nil, "b", ""},
		{"the highest priority", []*global.RouterConfig{router("order", "a", 1), router("order", "b", 0)}, nil, "a", ""},
		{"the same again", []*global.RouterConfig{router("order", "a", 0)}, []*global.RouterConfig{router("order", "a", 0)}, "a", ""},
		{"a second reference's", []*global.RouterConfig{router("order", "a", 0)}, []*global.RouterConfig{router("order", "b", 0)}, "a", ""},
		{"without a scope", []*global.RouterConfig{unscoped}, nil, "unscoped", ""},
		{"with a fault", []*global.RouterConfig{bad}, nil, "", "tags[0].addresses[0]"},
		{"with a misspelled scope", []*global.RouterConfig{misspelled}, nil, "", `scope: got "applications"`},
		{"tags for a service", []*global.RouterConfig{service}, nil, "", `scope: got "service"`},
		{"without a key", []*global.RouterConfig{router("", "gray", 0)}, nil, "", "key: want"},
		{"a fault in one that is not in force", []*global.RouterConfig{misspelled, router("order", "a", 0)}, nil, "a", `scope: got "applications"`},
		{"a fault in a second reference's", []*global.RouterConfig{router("order", "a", 0)}, []*global.RouterConfig{misspelled}, "a", `scope: got "applications"`},
	} {
		store := &tagrouter.Store{}
		f := newFollower(store, nil, "")
		store.SetFollower(f.start)
		w := watch(t, store)
		seen := make(map[string]*global.RouterConfig)
		err := f.static(seen, tc.first)
		if err == nil {
			err = f.static(seen, tc.second)
		}
		if got := w.tag(); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
		if (err != nil) != (tc.faulty != "") || err != nil && !strings.Contains(err.Error(), tc.faulty) {
			t.Errorf("%s: error %v, want one that names %q", tc.name, err, tc.faulty)
		}
		f.close()
	}
}

// TestOrder: a dynamic rule comes before a static one, also a disabled one; a
// broken text changes nothing; when the centre has none the static one is back.
func TestOrder(t *testing.T) {
	store := &tagrouter.Store{}
	a := &application{name: "order", store: store, groups: []grouped{{name: "own", where: "own"}, {name: "dubbo", where: "dubbo"}}}
	w := watch(t, store)
	static, err := tagrouter.StaticRule(router("order", "static", 0))
	if err != nil {
		t.Fatal(err)
	}
	a.setStatic(static)
	for n, step := range []struct {
		group      int
		text, want string
	}{
		{0, "", "static"}, // as it is read at first
		{1, "", "static"},
		{1, text("java"), "java"},
		{0, "# a comment\n", "java"},
		{0, "tags: [", "java"}, // broken, and there was no good one
		{0, text("own"), "own"},
		{0, "tags: [", "own"},
		{1, text("changed"), "own"},
		{0, "enabled: false\nkey: order\n", ""}, // a rule that switches routing off
		{0, "", "changed"},
		{1, "", "static"},
	} {
		if a.told(step.group, step.text); w.tag() != step.want {
			t.Errorf("step %d: %q, want %q", n, w.tag(), step.want)
		}
	}
}

// TestOneLine: the faults of a text are one line in the log.
func TestOneLine(t *testing.T) {
	if got := oneLine(errors.Join(errors.New("force: line 1"), errors.New("tags: line 2\r\n3"))); got != "force: line 1; tags: line 2; 3" {
		t.Errorf("%q", got)
	}
}

// TestToldOnce: a text that the centre tells again, as after a reconnect, is neither
// decoded nor counted again.
func TestToldOnce(t *testing.T) {
	store := &tagrouter.Store{}
	a := &application{name: "order", store: store, groups: []grouped{{name: "dubbo", where: "dubbo"}}}
	w := watch(t, store)
	before := ReadStats()
	for range 3 {
		a.told(0, text("gray"))
	}
	for range 3 {
		a.told(0, "tags: [")
	}
	for range 3 {
		a.told(0, "")
	}
	got := ReadStats()
	if got.Good-before.Good != 1 || got.Bad-before.Bad != 1 || got.Deleted-before.Deleted != 1 {
		t.Errorf("counted %+v after %+v, want one of each", got, before)
	}
	if seen := w.changes(); len(seen) != 2 {
		t.Errorf("%d changes %v, want 2", len(seen), seen)
	}
}
