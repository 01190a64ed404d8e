// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"maps"
	"slices"
	"sync/atomic"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/metadata/info"

	"github.com/graylane/graylane/internal/node"
)

var plainSubscribed atomic.Bool

// dubbo-go's own registry registers, ours sees it; ours registers the same URL and
// writes the very same key; dubbo-go's subscriber sees ours.
func TestPlainRegistry(t *testing.T) {
	endpoint := plain.server.Endpoint()
	service := unique("com.shop.Plain")
	ours := newRegistry(t, registryURL(endpoint))

	for _, u := range []struct {
		name, prefix string
		register     func(port int) error
	}{
		{"provider", "/dubbo/" + service + "/providers/", func(port int) error {
			return plain.registry.Register(providerURL(service, port, "methods", "x", "empty", "", "dubbo.tag", "gray", "a", "b c&d"))
		}},
		{"consumer", "/dubbo/" + service + "/consumers/", func(int) error { return plain.registry.Register(consumerURL(service)) }},
	} {
		if err := u.register(1); err != nil {
			t.Fatalf("%s: dubbo-go: %v", u.name, err)
		}
	}
	theirs := keys(t, endpoint, "/dubbo/"+service+"/providers/")
	key, err := node.Path("dubbo", providerURL(service, 1, "methods", "x", "empty", "", "dubbo.tag", "gray", "a", "b c&d"))
	if err != nil || len(theirs) != 1 || !hasKey(theirs, key) {
		t.Errorf("provider key: got %s, %v, dubbo-go has %v", key, err, sortedKeys(theirs))
	}
	consumers := keys(t, endpoint, "/dubbo/"+service+"/consumers/")
	key, err = node.Path("dubbo", consumerURL(service))
	if err != nil || len(consumers) != 1 || !hasKey(consumers, key) {
		t.Errorf("consumer key: got %s, %v, dubbo-go has %v", key, err, sortedKeys(consumers))
	}

	l := newProviders(service)
	if err := ours.LoadSubscribeInstances(consumerURL(service), l); err != nil {
		t.Fatal(err)
	}
	if got, want := l.String(), "127.0.0.1:1@1"; got != want {
		t.Errorf("ours sees %q of dubbo-go's, want %q", got, want)
	}

	if err := ours.Register(providerURL(service, 2)); err != nil {
		t.Fatal(err)
	}
	if plainSubscribed.Swap(true) {
		return // with -count: two subscriptions to dubbo-go's steal each other's events
	}
	l = newProviders(service)
	subscribe(t, plain.registry, consumerURL(service), l) // dubbo-go cannot unsubscribe: it ends with the test binary
	l.expect(t, "127.0.0.1:1@1", "127.0.0.1:2@1")
}

func hasKey(m map[string]string, key string) bool { _, ok := m[key]; return ok }

// The same instance gives the same key and the same value, and each side sees the other's.
func TestPlainDiscovery(t *testing.T) {
	endpoint, application := plain.server.Endpoint(), unique("plain")
	ours := newDiscovery(t, registryURL(endpoint))
	i := instance(application, 1, map[string]string{"dubbo.tag": "gray", "StartTime": "5"})
	i.ServiceMetadata = &info.MetadataInfo{
		App: "plain", Revision: "r", LastUpdatedTime: 9,
		Services: map[string]*info.ServiceInfo{"s": {Name: "com.shop.S", Protocol: "tri", Params: map[string]string{"a": "<b>"}}},
	}

	heard := newInstances(application)
	if err := ours.AddListener(heard); err != nil {
		t.Fatal(err)
	}
	if err := plain.discovery.Register(i); err != nil {
		t.Fatal(err)
	}
	heard.expect(t, application, "1(gray)")
	theirs := keys(t, endpoint, "/services/"+application+"/")
	if err := ours.Register(i); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, endpoint, "/services/"+application+"/"); !maps.Equal(got, theirs) {
		t.Errorf("ours writes\n%v\ndubbo-go\n%v", got, theirs)
	}

	if err := ours.Register(instance(application, 2, nil)); err != nil {
		t.Fatal(err)
	}
	var seen []int
	for _, i := range plain.discovery.GetInstances(application) {
		seen = append(seen, i.GetPort())
	}
	slices.Sort(seen)
	if !slices.Equal(seen, []int{1, 2}) {
		t.Errorf("dubbo-go sees ports %v, want 1 and 2", seen)
	}
	if err := plain.discovery.Unregister(i); err != nil {
		t.Fatal(err)
	}
	heard.expect(t, application, "2()")
}

func TestPlainReport(t *testing.T) {
	service := unique("com.shop.Plain")
	ours := NewReport(registryURL(plain.server.Endpoint()))
	meta := &info.MetadataInfo{App: "plain", Revision: "r", Services: map[string]*info.ServiceInfo{"s": {Name: "com.shop.S"}}}
	if err := plain.report.PublishAppMetadata("plain", "r", meta); err != nil {
		t.Fatal(err)
	}
	before := keys(t, plain.server.Endpoint(), "/dubbo/plain/")
	if got, err := ours.GetAppMetadata("plain", "r"); err != nil || got.Services["s"].Name != "com.shop.S" {
		t.Errorf("ours reads %v, %v of dubbo-go's", got, err)
	}
	if err := ours.PublishAppMetadata("plain", "r", meta); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, plain.server.Endpoint(), "/dubbo/plain/"); !maps.Equal(got, before) {
		t.Errorf("ours writes\n%v\ndubbo-go\n%v", got, before)
	}
	if err := plain.report.RegisterServiceAppMapping(service, "mapping", "theirs"); err != nil {
		t.Fatal(err)
	}
	if err := ours.RegisterServiceAppMapping(service, "mapping", "ours"); err != nil {
		t.Fatal(err)
	}
	set, err := plain.report.GetServiceAppMapping(service, "mapping", nil)
	if err != nil || names(set.Values()) != "[ours theirs]" {
		t.Errorf("dubbo-go reads %v, %v, want both", set, err)
	}
	// What our report repairs; when this fails, dubbo-go has been repaired itself.
	if err := ours.PublishAppMetadata("plain", "r2", meta); err != nil {
		t.Fatal(err)
	}
	if err := plain.report.RegisterServiceAppMapping(service, "mapping", "third"); err == nil {
		t.Log("dubbo-go adds to a mapping after another write: its report no longer compares with the wrong revision")
	}
}
