// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// Only this incarnation of this service over this protocol is a sight of us.
func TestSighting(t *testing.T) {
	provider := func(protocol, service, group, incarnation string) *common.URL {
		return common.NewURLWithOptions(common.WithProtocol(protocol), common.WithPath(service), common.WithInterface(service),
			common.WithParamsValue(constant.GroupKey, group), common.WithParamsValue(tag.MetaIncarnation, incarnation))
	}
	ours := provider("tri", "shop.Cart", "eu", Incarnation())
	for name, tc := range map[string]struct {
		u    *common.URL
		want bool
	}{
		"us":                   {ours, true},
		"a former incarnation": {provider("tri", "shop.Cart", "eu", "0123456789abcdef"), false},
		"without incarnation":  {provider("tri", "shop.Cart", "eu", ""), false},
		"another protocol":     {provider("dubbo", "shop.Cart", "eu", Incarnation()), false},
		"another service":      {provider("tri", "shop.Order", "eu", Incarnation()), false},
		"another group":        {provider("tri", "shop.Cart", "", Incarnation()), false},
		"nothing":              {nil, false},
	} {
		s := &sighting{protocol: "tri", service: ours.ServiceKey(), found: make(chan struct{})}
		called := false
		s.NotifyAll([]*registry.ServiceEvent{{Service: tc.u}, {Service: tc.u}}, func() { called = true })
		if s.seen() != tc.want || !called {
			t.Errorf("%s: seen %v, want %v; callback %v", name, s.seen(), tc.want, called)
		}
	}
}

// events collects what a caller hears.
type events chan *registry.ServiceEvent

func (e events) Notify(event *registry.ServiceEvent) { e <- event }

func (e events) NotifyAll(list []*registry.ServiceEvent, done func()) {
	for _, event := range list {
		e <- event
	}
	done()
}

func (e events) await(t *testing.T, action remoting.EventType) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case got := <-e:
			if got.Action == action && got.Service.Service() == triService {
				return
			}
		case <-end:
			t.Fatalf("no %v within %v", action, patience)
		}
	}
}

// ownZooKeeper has the children of a test use dubbo-go's own ZooKeeper registry, as a
// process does that imports no other: with this environment registry/zookeeper leaves it
// in its place, and nothing else in a child looks at it.
func ownZooKeeper(t *testing.T) {
	t.Helper()
	t.Setenv("GRAYLANE_MODE", "off")
}

// On dubbo-go's own ZooKeeper registry an instance sees itself by a subscription of its
// own. Steps:
//  1. it becomes ready, registered at both levels;
//  2. that its second look is over takes nothing from the registry: a caller that
//     comes now finds it;
//  3. SIGTERM: that caller hears that it left.
func TestSeenOnZooKeeper(t *testing.T) {
	need.Long(t, "starts processes")
	need.Part(t, zookeeper.Missing())
	ownZooKeeper(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	zk, err := zookeeper.Start(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = zk.Close() })

	// 1.
	p := provider{Tri: ports.Free(), Both: true, Require: true, Timeout: patience, Shutdown: quick, Registries: []string{"zookeeper://" + zk.Address()}}
	c := start(t, p)
	c.await("SAY ready")

	// 2.
	u, err := common.NewURL("zookeeper://"+zk.Address(), common.WithParamsValue(constant.RegistryKey, "zookeeper"))
	if err != nil {
		t.Fatal(err)
	}
	caller, err := extension.GetRegistry("zookeeper", u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(caller.Destroy)
	heard := make(events, 100)
	go func() {
		_ = caller.Subscribe(referenceTo(common.NewURLWithOptions(common.WithProtocol("tri"), common.WithInterface(triService))), heard)
	}()
	heard.await(t, remoting.EventTypeUpdate) // the list that it begins with
	discovery, err := extension.GetServiceDiscovery(u)
	if err != nil {
		t.Fatal(err)
	}
	if list := discovery.GetInstances("shop"); len(list) != 1 {
		t.Errorf("%d instances at application level, want 1", len(list))
	}
	if _, err := c.dial("tri", p.Tri)("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}

	// 3.
	c.terminate()
	heard.await(t, remoting.EventTypeDel)
	c.exit(0)
	if list := discovery.GetInstances("shop"); len(list) != 0 {
		t.Errorf("%d instances at application level after SIGTERM", len(list))
	}
}
