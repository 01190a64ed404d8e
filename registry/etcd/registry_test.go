// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"

	"github.com/graylane/graylane/internal/shell"
	"github.com/graylane/graylane/internal/testkit/ports"
)

func TestNamesAreOurs(t *testing.T) {
	noLeak(t)
	u := registryURL(plain.server.Endpoint())
	reg, err := extension.GetRegistry("etcdv3", u)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := reg.(*Registry); !ok {
		t.Errorf("registry etcdv3 is a %T, want ours", reg)
	}
	reg.Destroy()
	disc, err := extension.GetServiceDiscovery(u)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := disc.(*Discovery); !ok {
		t.Errorf("service discovery etcdv3 is a %T, want ours", disc)
	}
	_ = disc.Destroy()
	if rep := extension.GetMetadataReportFactory("etcdv3").CreateMetadataReport(u); rep != nil {
		if _, ok := rep.(*Report); !ok {
			t.Errorf("metadata report etcdv3 is a %T, want ours", rep)
		}
	}
}

// 1. two consumers in "processes" of their own subscribe to two services
// 2. a provider registers both: each consumer sees its own, never the other's
// 3. it registers one service again with other parameters: replaced
// 4. it unregisters that one: gone by a Del event, the other one stays
// 5. it crashes: the other one is gone when the lease has run out.
func TestRegistryTwoServices(t *testing.T) {
	noLeak(t)
	endpoint := plain.server.Endpoint()
	provider := newRegistry(t, registryURL(endpoint, LeaseTTLKey, "2s"))
	one := newRegistry(t, registryURL(other(endpoint)))
	two := newRegistry(t, registryURL(other(endpoint)))

	// 1.
	a, b := newProviders("com.shop.A"), newProviders("com.shop.B")
	subscribe(t, one, consumerURL("com.shop.A"), a)
	subscribe(t, two, consumerURL("com.shop.B"), b)
	for _, p := range []*providers{a, b} {
		eventually(t, "the first, empty list", func() bool { lists, _, _ := p.counts(); return lists == 1 })
	}

	// 2.
	for _, u := range []*common.URL{providerURL("com.shop.A", 1001), providerURL("com.shop.B", 1001), providerURL("com.shop.A", 1002)} {
		if err := provider.Register(u); err != nil {
			t.Fatal(err)
		}
	}
	a.expect(t, "127.0.0.1:1001@1", "127.0.0.1:1002@1")
	b.expect(t, "127.0.0.1:1001@1")

	// 3.
	if err := provider.Register(providerURL("com.shop.A", 1001, "timestamp", "2")); err != nil {
		t.Fatal(err)
	}
	a.expect(t, "127.0.0.1:1001@2", "127.0.0.1:1002@1")
	eventually(t, "a Del event for what was replaced", func() bool { _, dels, _ := a.counts(); return dels == 1 })

	// 4.
	if err := provider.UnRegister(providerURL("com.shop.A", 1001, "timestamp", "2")); err != nil {
		t.Fatal(err)
	}
	if err := provider.UnRegister(providerURL("com.shop.A", 1001)); err != nil {
		t.Errorf("UnRegister of what is not registered: %v", err)
	}
	a.expect(t, "127.0.0.1:1002@1")
	if _, dels, _ := a.counts(); dels != 2 {
		t.Errorf("Del events after one replacement and one UnRegister: got %d, want 2", dels)
	}
	b.expect(t, "127.0.0.1:1001@1")

	// 5. A crash: the keep-alive ends, nothing is revoked.
	provider.registrar.Stop(t.Context())
	a.expect(t)
	b.expect(t)
}

func TestLoadSubscribeInstances(t *testing.T) {
	noLeak(t)
	r := newRegistry(t, registryURL(plain.server.Endpoint()))
	l := newProviders("com.shop.Load")
	if err := r.LoadSubscribeInstances(consumerURL("com.shop.Load"), l); err != nil {
		t.Fatal(err)
	}
	if lists, _, _ := l.counts(); lists != 1 || l.String() != "" {
		t.Errorf("before any provider: %d lists, providers %q, want one empty list", lists, l)
	}
	for _, port := range []int{1, 2} {
		if err := r.Register(providerURL("com.shop.Load", port)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.LoadSubscribeInstances(consumerURL("com.shop.Load"), l); err != nil {
		t.Fatal(err)
	}
	if got, want := l.String(), "127.0.0.1:1@1 127.0.0.1:2@1"; got != want {
		t.Errorf("providers: got %q, want %q", got, want)
	}
}

func TestSubscribeEnds(t *testing.T) {
	noLeak(t)
	r := newRegistry(t, registryURL(plain.server.Endpoint()))
	l, kept := newProviders("com.shop.End"), newProviders("com.shop.End")
	first := subscribe(t, r, consumerURL("com.shop.End"), l)
	second := subscribe(t, r, consumerURL("com.shop.End"), kept)
	for _, p := range []*providers{l, kept} {
		eventually(t, "a list", func() bool { lists, _, _ := p.counts(); return lists == 1 })
	}
	if err := r.UnSubscribe(consumerURL("com.shop.End"), l); err != nil {
		t.Fatal(err)
	}
	<-first
	if err := r.Register(providerURL("com.shop.End", 7)); err != nil {
		t.Fatal(err)
	}
	kept.expect(t, "127.0.0.1:7@1")
	if got := l.String(); got != "" {
		t.Errorf("after UnSubscribe: told of %q", got)
	}
	r.Destroy()
	<-second
	r.Destroy()
	if r.IsAvailable() {
		t.Error("IsAvailable after Destroy")
	}
	if err := r.Subscribe(consumerURL("com.shop.End"), l); !errors.Is(err, shell.ErrDestroyed) {
		t.Errorf("Subscribe after Destroy: got %v, want %v", err, shell.ErrDestroyed)
	}
	if err := r.Register(providerURL("com.shop.End", 8)); !errors.Is(err, shell.ErrDestroyed) {
		t.Errorf("Register after Destroy: got %v, want %v", err, shell.ErrDestroyed)
	}
	if got := keys(t, plain.server.Endpoint(), "/dubbo/com.shop.End/"); len(got) != 0 {
		t.Errorf("after Destroy etcd still has %v", sortedKeys(got))
	}
}

func TestUnreachable(t *testing.T) {
	noLeak(t)
	dead := ports.Dead()
	u := registryURL(dead, "registry.timeout", "700ms", "timeout", "700ms")
	start := time.Now()
	r, d, rep := newRegistry(t, u), newDiscovery(t, u), ReportFactory{}.CreateMetadataReport(u)
	if took := time.Since(start); took > 200*time.Millisecond {
		t.Errorf("constructors took %v, want them lazy", took)
	}
	if rep == nil {
		t.Fatal("metadata report: got nil")
	}
	for name, f := range map[string]func() error{
		"Register": func() error { return r.Register(providerURL("com.shop.Dead", 1)) },
		"LoadSubscribeInstances": func() error {
			return r.LoadSubscribeInstances(consumerURL("com.shop.Dead"), newProviders("com.shop.Dead"))
		},
		"Discovery.Register": func() error { return d.Register(instance("dead", 1, nil)) },
		"Report":             func() error { return rep.RegisterServiceAppMapping("com.shop.Dead", "mapping", "dead") },
		"Check":              func() error { return Check(t.Context(), "etcdv3://"+dead) },
	} {
		start := time.Now()
		err := f()
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if !strings.Contains(err.Error(), dead) || !strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %q, want one line with address and cause", name, err)
		}
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("%s: took %v with a timeout of 700 ms", name, took)
		}
	}
	if got := d.GetInstances("dead"); got != nil {
		t.Errorf("GetInstances that could not read: got %v, want nil", got)
	}
}

func TestCheck(t *testing.T) {
	noLeak(t)
	up := plain.server.Endpoint()
	for _, tc := range []struct {
		address string
		ok      bool
	}{
		{up, true},
		{"etcdv3://" + up, true},
		{ports.Dead() + "," + up, true},
		{ports.Dead(), false},
		{"", false},
		{"localhost", false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := Check(ctx, tc.address); (err == nil) != tc.ok {
			t.Errorf("Check(%q) = %v, want ok %v", tc.address, err, tc.ok)
		}
		cancel()
	}
}

func TestBadURL(t *testing.T) {
	noLeak(t)
	for _, u := range []*common.URL{
		registryURL("nohost"),
		registryURL("127.0.0.1:1", "registry.timeout", "soon"),
		registryURL("127.0.0.1:1", LeaseTTLKey, "10ms"),
	} {
		if _, err := NewRegistry(u); err == nil {
			t.Errorf("NewRegistry(%s): no error", u)
		}
		if _, err := NewDiscovery(u); err == nil {
			t.Errorf("NewDiscovery(%s): no error", u)
		}
	}
	if err := NewReport(registryURL("nohost")).PublishAppMetadata("a", "1", &info.MetadataInfo{}); err == nil {
		t.Error("report with a wrong address: no error")
	}
}

func TestSharedConnection(t *testing.T) {
	noLeak(t)
	u := registryURL(plain.server.Endpoint())
	r, d := newRegistry(t, u), newDiscovery(t, u)
	if r.registrar.shared != d.registrar.shared {
		t.Error("two objects of one address have two connections")
	}
	if err := r.Register(providerURL("com.shop.Shared", 1)); err != nil {
		t.Fatal(err)
	}
	r.Destroy()
	if err := d.Register(instance("shared", 1, nil)); err != nil {
		t.Errorf("the second user after the first has left: %v", err)
	}
	if r.registrar.shared.ctx.Err() != nil {
		t.Error("closed although one user is left")
	}
	_ = d.Destroy()
	if r.registrar.shared.ctx.Err() == nil {
		t.Error("not closed with the last user")
	}
}
