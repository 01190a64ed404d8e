// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions that TestNacos lists are the tests themselves
package nacos

import (
	"reflect"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/internal/meta"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

// testInterfaceWire: dubbo-go's own registry registers a URL, ours the same at
// another port: name, weight and metadata are the same.
func testInterfaceWire(t *testing.T, s *rig.Server) {
	noneOfOurs(t)
	for _, params := range [][]string{
		nil,
		{"weight", "50", "version", "1.0", "group", "blue"},
		{"weight", "0", "empty", "", "a", "b c&d=%25", "dubbo.tag", "gray"},
		{"weight", "20000", "group", " "},
		{"weight", "heavy"},
	} {
		service := unique("com.shop.Wire")
		plain, err := extension.GetRegistry(Name, plainURL(t, s.Address()))
		if err != nil {
			t.Fatal(err)
		}
		if err := plain.Register(provider(service, "tri", 20001, params...)); err != nil {
			t.Fatal(err)
		}
		name, _, err := registration(provider(service, "tri", 20002, params...))
		if err != nil {
			t.Fatal(err)
		}
		ours := newRegistry(t, registryURL(s.Address()))
		if err := ours.Register(provider(service, "tri", 20002, params...)); err != nil {
			t.Fatal(err)
		}
		all := hosts(t, registryURL(s.Address()), name, 2)
		theirs, mine := all[20001], all[20002]
		if d := differences(mine.Metadata, theirs.Metadata); d != "" || len(theirs.Metadata) == 0 {
			t.Errorf("%v: metadata: %s", params, d)
		}
		theirs.Metadata, mine.Metadata, mine.Port = nil, nil, theirs.Port
		mine.InstanceId = theirs.InstanceId
		if !reflect.DeepEqual(mine, theirs) {
			t.Errorf("%v: instance: got %+v, dubbo-go writes %+v", params, mine, theirs)
		}
		ours.Destroy()
		plain.Destroy()
	}
}

// testInterfacePeers:
//  1. ours registers, dubbo-go's consumer has it, and is told when it leaves
//  2. dubbo-go's registers, our consumer has it, as dubbo-go's would, and is told when it leaves
func testInterfacePeers(t *testing.T, s *rig.Server) {
	service := unique("com.shop.Peers")
	plain, err := extension.GetRegistry(Name, plainURL(t, s.Address()))
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Destroy()
	ours := newRegistry(t, registryURL(s.Address()))
	query := []string{"dubbo.tag", "gray", "a", "b c&d", "StartTime", "1790000000123"}

	// 1.
	if err := ours.Register(provider(service, "tri", 20001, query...)); err != nil {
		t.Fatal(err)
	}
	theirs := newProviders()
	if err := plain.LoadSubscribeInstances(consumer(service), theirs); err != nil {
		t.Fatal(err)
	}
	theirs.expect(t, "tri:20001=100")
	subscribe(plain, consumer(service), theirs)
	mine := newProviders()
	ended := subscribe(ours, consumer(service), mine)
	mine.expect(t, "tri:20001=100")

	// 2.
	if err := plain.Register(provider(service, "tri", 20002, query...)); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, "tri:20001=100", "tri:20002=100")
	theirs.expect(t, "tri:20001=100", "tri:20002=100")
	for _, at := range []string{"tri://127.0.0.1:20001", "tri://127.0.0.1:20002"} {
		got, want := mine.get(at), theirs.get(at)
		if d := differences(got.ToMap(), want.ToMap()); d != "" || got.Service() != want.Service() || got.Path != want.Path {
			t.Errorf("URL of %s: got %s, dubbo-go makes %s: %s", at, got, want, d)
		}
		if key := got.GetCacheInvokerMapKey(); !strings.Contains(key, "1790000000") {
			t.Errorf("identity of %s: got %s, want the timestamp in it", at, key)
		}
	}
	if err := plain.UnRegister(provider(service, "tri", 20002)); err != nil {
		t.Fatal(err)
	}
	mine.expect(t, "tri:20001=100")
	if err := ours.UnRegister(provider(service, "tri", 20001, query...)); err != nil {
		t.Fatal(err)
	}
	theirs.expect(t)
	mine.expect(t)
	if _, dels, _ := mine.counts(); dels != 1 {
		t.Errorf("the only provider left: %d Del events, want 1", dels)
	}
	if err := ours.UnSubscribe(consumer(service), mine); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// testTwoProtocols: two protocols of one service, registered by one process, by one
// registry object and by two, all stay; each leaves alone.
func testTwoProtocols(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Two")
	one, two := newRegistry(t, registryURL(s.Address())), newRegistry(t, registryURL(s.Address()))
	seen := newProviders()
	subscribe(newRegistry(t, far(s.Address())), consumer(service), seen)
	urls := map[string]*Registry{}
	for n, r := range []*Registry{one, one, two} {
		u := provider(service, []string{"tri", "dubbo", "rest"}[n], 20001+n)
		if err := r.Register(u); err != nil {
			t.Fatal(err)
		}
		if err := r.Register(u); err != nil { // again
			t.Fatal(err)
		}
		urls[u.Protocol] = r
	}
	seen.expect(t, "dubbo:20002=100", "rest:20003=100", "tri:20001=100")
	if err := one.UnRegister(provider(service, "tri", 20001)); err != nil {
		t.Fatal(err)
	}
	seen.expect(t, "dubbo:20002=100", "rest:20003=100")
	if err := two.UnRegister(provider(service, "dubbo", 20002)); err != nil { // another's
		t.Fatal(err)
	}
	one.Destroy()
	seen.expect(t, "rest:20003=100")
	if err := one.Register(provider(service, "tri", 20001)); err == nil {
		t.Error("Register after Destroy: got no error")
	}
	two.Destroy()
	seen.expect(t)
}

// testVersionsAndGroups: a consumer gets its version and group, one of several, or
// all, also those that come later.
func testVersionsAndGroups(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Groups")
	r := newRegistry(t, registryURL(s.Address()))
	add := func(port int, version, group string) {
		if err := r.Register(provider(service, "tri", port, "version", version, "group", group)); err != nil {
			t.Fatal(err)
		}
	}
	add(20001, "", "")
	add(20002, "1.0", "blue")
	add(20003, "1.0", "green")
	for _, tc := range []struct {
		version, group string
		want           []string
	}{
		{"", "", []string{"tri:20001=100"}},
		{"1.0", "blue", []string{"tri:20002=100"}},
		{"1.0", "green, blue", []string{"tri:20002=100", "tri:20003=100"}},
		{"1.0", "*", []string{"tri:20002=100", "tri:20003=100"}},
		{"*", "*", []string{"tri:20001=100", "tri:20002=100", "tri:20003=100"}},
		{"2.0", "*", nil},
	} {
		u := consumer(service, "version", tc.version, "group", tc.group)
		loaded, followed := newProviders(), newProviders()
		if err := r.LoadSubscribeInstances(u, loaded); err != nil {
			t.Fatal(err)
		}
		loaded.expect(t, tc.want...)
		ended := subscribe(r, u, followed)
		followed.expect(t, tc.want...)
		eventually(t, "a first list", func() bool { lists, _, _ := followed.counts(); return lists > 0 })
		if err := r.UnSubscribe(u, followed); err != nil {
			t.Fatal(err)
		}
		<-ended
	}
}

// testInterfaceOperator: what the operator says of an instance in Nacos reaches its
// URL, relative to what it registered with; and weights come with the first list too.
func testInterfaceOperator(t *testing.T, s *rig.Server) {
	noLeak(t)
	service := unique("com.shop.Operator")
	name := "providers:" + service + "::"
	r := newRegistry(t, registryURL(s.Address()))
	for n, weight := range []string{"0", "50"} { // unset: 1 at Nacos; 50: 50 at Nacos
		if err := r.Register(provider(service, "tri", 20001+n, "weight", weight)); err != nil {
			t.Fatal(err)
		}
	}
	seen := newProviders()
	c := newRegistry(t, far(s.Address()))
	subscribe(c, consumer(service), seen)
	seen.expect(t, "tri:20001=100", "tri:20002=50")
	for _, tc := range []struct {
		port   int
		params []string
		want   []string
	}{
		{20001, []string{"weight", "0.4"}, []string{"tri:20001=40", "tri:20002=50"}},
		{20001, []string{"weight", "2.5"}, []string{"tri:20001=250", "tri:20002=50"}},
		{20001, []string{"weight", "0"}, []string{"tri:20001=0", "tri:20002=50"}},
		{20002, []string{"weight", "25"}, []string{"tri:20001=0", "tri:20002=25"}},
		{20002, []string{"weight", "0.333"}, []string{"tri:20001=0", "tri:20002=0.333"}},
		{20002, []string{"weight", "50", "metadata", `{"dubbo.tag":"gray"}`}, []string{"tri:20001=0", "tri:20002=50"}},
		{20001, []string{"weight", "1", "enabled", "false"}, []string{"tri:20002=50"}},
		{20001, []string{"weight", "1", "enabled", "true"}, []string{"tri:20001=100", "tri:20002=50"}},
	} {
		set(t, s, name, tc.port, tc.params...)
		seen.expect(t, tc.want...)
		first := newProviders()
		if err := c.LoadSubscribeInstances(consumer(service), first); err != nil {
			t.Fatal(err)
		}
		if got := first.list(); got != strings.Join(tc.want, " ") {
			t.Errorf("%v: first list %q, want %v", tc.params, got, tc.want)
		}
		for _, at := range []string{"tri://127.0.0.1:20001", "tri://127.0.0.1:20002"} {
			if u := seen.get(at); u != nil && u.GetParamInt(constant.WeightKey, 0) < 1 && u.GetParam(meta.RegistryWeight, "") != "" {
				t.Errorf("%v: others see weight %q of %s, want a whole number from 1", tc.params, u.GetParam(constant.WeightKey, ""), at)
			}
		}
	}
	if got := seen.get("tri://127.0.0.1:20002").GetParam("dubbo.tag", ""); got != "gray" {
		t.Errorf("tag set by the operator: got %q, want gray", got)
	}
}
