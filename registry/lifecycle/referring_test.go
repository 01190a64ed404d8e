// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/registry/discovery"
)

const referringName = "referring"

// silent is a registry that never says a word; the rest of it is not asked for.
type silent struct{ registry.Registry }

func (silent) Subscribe(*common.URL, registry.NotifyListener) error              { return nil }
func (silent) UnSubscribe(*common.URL, registry.NotifyListener) error            { return nil }
func (silent) LoadSubscribeInstances(*common.URL, registry.NotifyListener) error { return nil }

type referringCluster struct{}

func (referringCluster) Join(d directory.Directory) base.Invoker {
	return endingInvoker{base.NewBaseInvoker(d.GetURL()), d}
}

type endingInvoker struct {
	*base.BaseInvoker
	d directory.Directory
}

func (e endingInvoker) Destroy() { e.d.Destroy() }

// refers makes a reference to a service that nobody offers.
func refers(t *testing.T, service string, check bool) base.Invoker {
	t.Helper()
	extension.SetRegistry(referringName, func(*common.URL) (registry.Registry, error) { return silent{}, nil })
	extension.SetCluster(referringName, func() cluster.Cluster { return referringCluster{} })
	l, err := net.Listen("tcp", "127.0.0.1:0") // where the registry is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	ref := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ClusterKey, referringName))
	ref.SetAttribute(meta.Check, check)
	u, err := common.NewURL(fmt.Sprintf("%s://%s?registry=%s", referringName, l.Addr(), referringName))
	if err != nil {
		t.Fatal(err)
	}
	u.SubURL = ref
	return discovery.Refer(u)
}

// TestReadyByReferences: a process that registers nothing.
//
//  1. without references nobody knows
//  2. one that must have a provider has none
//  3. one that need not is enough, and what comes later than at the start changes nothing
//  4. a process that waits for something before it registers will register.
func TestReadyByReferences(t *testing.T) {
	m := newTestManager()
	// 1
	if err := m.readiness(); !errors.Is(err, errWaiting) {
		t.Errorf("without references: %v", err)
	}
	// 2
	wanting := refers(t, "com.shop.Wanting", true)
	if err := m.readiness(); err == nil || errors.Is(err, errWaiting) {
		t.Errorf("without a provider: %v", err)
	}
	wanting.Destroy()
	// 3
	free := refers(t, "com.shop.Free", false)
	if err := m.readiness(); err != nil {
		t.Errorf("check: false: %v", err)
	}
	wanting = refers(t, "com.shop.Wanting", true)
	if err := m.readiness(); err == nil && !discovery.Quiet() {
		t.Error("ready by the first of two references")
	}
	wanting.Destroy()
	for began := time.Now(); !m.referred.Load(); time.Sleep(10 * time.Millisecond) {
		if err := m.readiness(); err != nil || time.Since(began) > 30*time.Second {
			t.Fatalf("not ready for good: %v", err)
		}
	}
	wanting = refers(t, "com.shop.Wanting", true)
	if err := m.readiness(); err != nil {
		t.Errorf("a reference that came later: %v", err)
	}
	// 4
	other := newTestManager()
	other.before = append(other.before, func(context.Context) error { return nil })
	free.Destroy()
	wanting.Destroy()
	free = refers(t, "com.shop.Free", false)
	defer free.Destroy()
	if err := other.readiness(); !errors.Is(err, errWaiting) {
		t.Errorf("with a hook: %v", err)
	}
}
