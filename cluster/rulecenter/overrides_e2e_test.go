// SPDX-License-Identifier: Apache-2.0

package rulecenter_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Where operators put overrides of the application web, and of the service.
const (
	appOverrides     = "/dubbo/config/dubbo/web.configurators"
	serviceOverrides = "/dubbo/config/dubbo/" + service + "::.configurators"
)

// override sets a parameter of the provider at a port, in the scope of a key.
func override(key string, port int, parameter string) string {
	scope, of := "application", "web"
	if key == serviceOverrides {
		scope, of = "service", service
	}
	return fmt.Sprintf("configVersion: v2.7\nscope: %s\nkey: %s\nenabled: true\nconfigs:\n  - side: consumer\n    providerAddresses: [\"127.0.0.1:%d\"]\n    parameters: { %s }\n", scope, of, port, parameter)
}

// only is what a consumer says that calls one provider.
func only(port int) string { return fmt.Sprintf("gray %d base %d", port, port) }

// TestOverrides: what operators override reaches the references of a running consumer.
//
//  1. weight 0 for b, there at the start: a serves
//  2. deleted: both serve
//  3. b disabled by the service's rule: a serves
//  4. a text that cannot be read changes nothing; the next one, for a, holds: b serves
//  5. the application's rule is for b at the same time: nobody serves; then a again.
func TestOverrides(t *testing.T) {
	w := newWorld(t)
	endpoint := w.registry.Endpoint()
	center := fmt.Sprintf("  config-center: { protocol: etcdv3, address: \"%s\", timeout: 5s }\n", endpoint)
	put(t, endpoint, appOverrides, override(appOverrides, w.b, "weight: \"0\""))
	web := w.consumer(t, center)
	// 1
	web.await(only(w.a))
	// 2
	began := time.Now()
	put(t, endpoint, appOverrides, "")
	web.await(w.all())
	t.Logf("a delete held after %v, 24 calls to see it included", time.Since(began).Round(time.Millisecond))
	// 3
	began = time.Now()
	put(t, endpoint, serviceOverrides, override(serviceOverrides, w.b, "disabled: \"true\""))
	web.await(only(w.a))
	t.Logf("an override held after %v", time.Since(began).Round(time.Millisecond))
	// 4
	put(t, endpoint, serviceOverrides, "configs: {")
	web.await("the last good ones stay")
	put(t, endpoint, serviceOverrides, override(serviceOverrides, w.a, "disabled: \"true\""))
	web.await(only(w.b))
	// 5
	put(t, endpoint, appOverrides, override(appOverrides, w.b, "disabled: \"true\""))
	web.await("SAY gray none base none")
	put(t, endpoint, serviceOverrides, "")
	web.await(only(w.a))
}

// TestOverridesOfPlainDubbo shows what Graylane adds: dubbo-go alone, which reads such
// texts when a reference is made, applies none of them to it.
func TestOverridesOfPlainDubbo(t *testing.T) {
	w := newWorld(t)
	w.registered(t) // a provider that comes later may stay unknown to dubbo-go's own etcd parts
	center := fmt.Sprintf("  config-center: { protocol: etcdv3, address: \"%s\", timeout: 5s }\n", w.registry.Endpoint())
	for _, key := range []string{appOverrides, serviceOverrides} {
		put(t, w.registry.Endpoint(), key, override(key, w.b, "weight: \"0\""))
	}
	for mode, want := range map[string]string{"off": w.all(), "observe": w.all(), "enforce": only(w.a)} {
		web := w.consumer(t, center, "GRAYLANE_MODE="+mode)
		if mode != "enforce" { // dubbo-go may hear of its providers one after the other
			web.await(want)
			continue
		}
		line := web.await("SAY gray")
		for strings.Contains(line, "none") {
			line = web.await("SAY gray")
		}
		if !strings.Contains(line, want) { // the first that it says: it says whenever others answer
			t.Errorf("%s: %q, want %q", mode, line, want)
		}
	}
}

// registered waits until both providers are in the registry.
func (w *world) registered(t *testing.T) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{w.registry.Endpoint()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	const instances = "/services/order/"
	for range c.Watch(ctx, instances, clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
		if got, err := c.Get(ctx, instances, clientv3.WithPrefix(), clientv3.WithCountOnly()); err == nil && got.Count >= 2 {
			return
		}
	}
	t.Fatalf("fewer than two providers below %s within %v", instances, patience)
}

// TestOverridesOfALateCentre: a centre that was down at the start, over etcd and
// ZooKeeper.
func TestOverridesOfALateCentre(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct {
		protocol string
		start    func(t *testing.T, key, rule string) late
	}{{"etcdv3", lateEtcd}, {"zookeeper", lateZooKeeper}} {
		t.Run(tc.protocol, func(t *testing.T) {
			center := tc.start(t, serviceOverrides, override(serviceOverrides, w.b, "disabled: \"true\""))
			web := w.consumer(t, fmt.Sprintf("  config-center: { protocol: %s, address: \"%s\", timeout: 1s }\n", tc.protocol, center.address)+
				"  custom: { config-map: { graylane: { register: { require: false } } } }\n")
			web.await(w.all())
			if err := center.restart(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			web.await(only(w.a))
			t.Logf("overrides of a centre that came late hold after %v", time.Since(began).Round(time.Millisecond))
		})
	}
}
