// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"os"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

var osExit = os.Exit

func newTestManager() *manager {
	return newManager(shutdown.NewGate("0123456789abcdef"), func() *conf.Config { c := conf.Default(); return &c })
}

func registryURL(t *testing.T, protocol, address, id string, params ...string) *common.URL {
	t.Helper()
	u, err := common.NewURL(protocol + "://" + address)
	if err != nil {
		t.Fatal(err)
	}
	u.SetParam(constant.RegistryKey, "nacos")
	u.SetParam(constant.RegistryIdKey, id)
	for i := 0; i < len(params); i += 2 {
		u.SetParam(params[i], params[i+1])
	}
	return u
}

// dubbo-go's key of a registry is its address; ours tells more of them apart.
func TestRegistriesAreToldApart(t *testing.T) {
	m := newTestManager()
	for i, u := range []*common.URL{
		registryURL(t, "registry", "127.0.0.1:8848", "a"),
		registryURL(t, "registry", "127.0.0.1:8849", "a"),
		registryURL(t, "registry", "127.0.0.1:8848", "b"),
		registryURL(t, "registry", "127.0.0.1:8848", "a", constant.RegistryGroupKey, "g"),
		registryURL(t, "registry", "127.0.0.1:8848", "a", constant.RegistryNamespaceKey, "n"),
		registryURL(t, constant.ServiceRegistryProtocol, "127.0.0.1:8848", "a"),
	} {
		r := m.registrarFor(u)
		if again := m.registrarFor(u.Clone()); again != r {
			t.Errorf("%d: the same URL is another registry", i)
		}
		if got := len(m.registries()); got != i+1 {
			t.Fatalf("%d: %d registries, want %d", i, got, i+1)
		}
		if _, application := r.asRegistry().(registry.ServiceDiscoveryRegistry); application != (u.Protocol == constant.ServiceRegistryProtocol) {
			t.Errorf("%d: application level = %v", i, application)
		}
		u.Protocol, u.PrimitiveURL = RegistryName, r.key
		if got, err := m.lookup(u); err != nil || got != r.asRegistry() {
			t.Errorf("%d: dubbo-go gets %v, %v", i, got, err)
		}
	}
	if _, err := m.lookup(registryURL(t, RegistryName, "127.0.0.1:1", "a")); err == nil {
		t.Error("a registry of our internal name can be configured")
	}
}

// The instance is born anew with each try until a registration has succeeded, but for
// tries at about the same time, at several registries.
func TestBirth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager()
		first := m.begin()
		time.Sleep(oneBirth)
		if other := m.begin(); other != first {
			t.Errorf("births of tries at about the same time: %v, %v", first, other)
		}
		time.Sleep(time.Millisecond)
		second := m.begin()
		if second.start.Sub(first.start) != oneBirth+time.Millisecond || second.window != 120*time.Second {
			t.Errorf("births %v, %v", first, second)
		}
		m.born()
		time.Sleep(2 * oneBirth)
		if got := m.begin(); got != second {
			t.Errorf("born %v, later %v", second, got)
		}
	})
}
