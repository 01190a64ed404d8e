// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/node"
	"github.com/graylane/graylane/internal/testkit/etcd"
)

// world is a provider and a consumer, each in a "process" of its own, at both levels.
type world struct {
	server    *etcd.Server
	dir       string
	registry  *Registry
	discovery *Discovery
	providers *providers
	instances *instances
	consumer  *Discovery
}

func newWorld(t *testing.T, ttl string) *world {
	t.Helper()
	noLeak(t)
	w := &world{dir: t.TempDir(), providers: newProviders("com.shop.Restart"), instances: newInstances("restart")}
	var err error
	if w.server, err = etcd.Start(w.dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.server.Close)
	u := registryURL(w.server.Endpoint(), LeaseTTLKey, ttl)
	w.registry, w.discovery = newRegistry(t, u), newDiscovery(t, u)
	if err := w.registry.Register(providerURL("com.shop.Restart", 1)); err != nil {
		t.Fatal(err)
	}
	if err := w.discovery.Register(instance("restart", 1, nil)); err != nil {
		t.Fatal(err)
	}
	far := registryURL(other(w.server.Endpoint()), "registry.timeout", "500ms")
	consumer := newRegistry(t, far)
	subscribe(t, consumer, consumerURL("com.shop.Restart"), w.providers)
	w.consumer = newDiscovery(t, far)
	if err := w.consumer.AddListener(w.instances); err != nil {
		t.Fatal(err)
	}
	w.providers.expect(t, "127.0.0.1:1@1")
	w.instances.expect(t, "restart", "1()")
	return w
}

func (w *world) addSecond(t *testing.T) {
	t.Helper()
	if err := w.registry.Register(providerURL("com.shop.Restart", 2)); err != nil {
		t.Fatal(err)
	}
	if err := w.discovery.Register(instance("restart", 2, nil)); err != nil {
		t.Fatal(err)
	}
	w.providers.expect(t, "127.0.0.1:1@1", "127.0.0.1:2@1")
	w.instances.expect(t, "restart", "1() 2()")
}

// 1. etcd stops: nobody is told of an empty list, reads give the last one
// 2. it stays away for longer than the leases live
// 3. it comes back on the same port with its data: everybody gets the whole list
// 4. what registers and unregisters from now on is seen.
func TestEtcdRestarts(t *testing.T) {
	const ttl = 4 * time.Second
	w := newWorld(t, ttl.String())
	lists, _, _ := w.providers.counts()
	events, _ := w.instances.count()

	// 1.
	w.server.Stop()
	stopped := time.Now()
	if got := w.consumer.GetInstances("restart"); len(got) != 1 {
		t.Errorf("GetInstances while etcd is down: got %v, want the last list", got)
	}
	if got := w.consumer.GetInstances("never asked for"); got != nil {
		t.Errorf("GetInstances of an application never read: got %v, want nil", got)
	}
	if _, err := w.consumer.Instances(t.Context(), "restart"); err == nil || !strings.Contains(err.Error(), w.server.Endpoint()[len("127.0.0.1"):]) {
		t.Errorf("Instances while etcd is down: got error %v, want one with the address", err)
	}

	// 2.
	// Real time, and no event ends it: the leases are etcd's, and it is away.
	time.Sleep(time.Until(stopped.Add(ttl + 500*time.Millisecond)))

	// 3.
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	back := time.Now() // each lease that etcd remembers lives as long again from here
	eventually(t, "a whole list at both levels", func() bool {
		l, _, _ := w.providers.counts()
		e, _ := w.instances.count()
		return l > lists && e > events
	})
	w.providers.expect(t, "127.0.0.1:1@1")
	w.instances.expect(t, "restart", "1()")

	// 4.
	w.addSecond(t)
	if err := w.registry.UnRegister(providerURL("com.shop.Restart", 2)); err != nil {
		t.Fatal(err)
	}
	w.providers.expect(t, "127.0.0.1:1@1")

	// Longer than the old leases could have lived: that nothing went with them is no event.
	time.Sleep(time.Until(back.Add(ttl + time.Second)))
	w.providers.expect(t, "127.0.0.1:1@1")
	w.instances.expect(t, "restart", "1() 2()")
	if _, _, empty := w.providers.counts(); empty != 0 {
		t.Errorf("interface level: %d empty lists, want none", empty)
	}
	if _, empty := w.instances.count(); empty != 0 {
		t.Errorf("application level: %d empty lists, want none", empty)
	}
}

// An etcd that comes back without its data has a shorter history than the watches
// ask for: everything is written again, and the watches still work.
func TestEtcdLosesItsData(t *testing.T) {
	w := newWorld(t, "10s")
	w.server.Stop()
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both registrations are back in etcd", func() bool {
		return len(keys(t, w.server.Endpoint(), "/dubbo/com.shop.Restart/providers/")) == 1 &&
			len(keys(t, w.server.Endpoint(), "/services/restart/")) == 1
	})
	w.addSecond(t)
}

// 1. etcd is down: Register fails after the timeout, UnRegister too
// 2. etcd is back: what failed to register is not there, what was to go is gone.
func TestWritesWhileEtcdIsDown(t *testing.T) {
	w := newWorld(t, "10s")
	short := func() context.Context {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		t.Cleanup(cancel)
		return ctx
	}
	second, err := node.Path("dubbo", providerURL("com.shop.Restart", 2))
	if err != nil {
		t.Fatal(err)
	}

	// 1.
	w.server.Stop()
	start := time.Now()
	if err := w.registry.registrar.Put(short(), second, ""); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("Register while etcd is down: got %v, want the cause", err)
	}
	if err := w.discovery.registrar.Remove(short(), instanceKey(instance("restart", 1, nil))); err == nil {
		t.Error("Unregister while etcd is down: no error")
	}
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("two operations with 500 ms each took %v", took)
	}

	// 2.
	if err := w.server.Restart(); err != nil {
		t.Fatal(err)
	}
	w.instances.expect(t, "restart", "")
	w.providers.expect(t, "127.0.0.1:1@1")
	// A write that was under way when Register gave up is taken back by the next round.
	eventually(t, "etcd has the first provider only", func() bool {
		return len(keys(t, w.server.Endpoint(), "/dubbo/com.shop.Restart/providers/")) == 1
	})
}
