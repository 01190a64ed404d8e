// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/gof/observer"
)

// mappings is a listener that keeps the last set.
type mappings struct {
	mu     sync.Mutex
	last   string
	events int
}

func (m *mappings) OnEvent(e observer.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events++
	m.last = names(e.(*registry.ServiceMappingChangeEvent).GetServiceNames().Values())
	return nil
}

func (m *mappings) Stop() {}

func (m *mappings) expect(t *testing.T, want string) {
	t.Helper()
	eventually(t, "mapping "+want, func() bool {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.last == want
	})
}

func names(values []any) string {
	var all []string
	for _, v := range values {
		all = append(all, v.(string))
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

func TestReportMetadata(t *testing.T) {
	noLeak(t)
	r := NewReport(registryURL(plain.server.Endpoint()))
	if _, err := r.GetAppMetadata("app", "none"); !errors.Is(err, ErrNoMetadata) {
		t.Errorf("unknown revision: got %v, want %v", err, ErrNoMetadata)
	}
	meta := &info.MetadataInfo{
		App: "app", Revision: "r1", Tag: "gray", LastUpdatedTime: 77,
		Services: map[string]*info.ServiceInfo{"s": {Name: "com.shop.S", Protocol: "tri"}},
	}
	if err := r.PublishAppMetadata("app", "r1", meta); err != nil {
		t.Fatal(err)
	}
	got, err := r.GetAppMetadata("app", "r1")
	if err != nil {
		t.Fatal(err)
	}
	if got.App != "app" || got.Tag != "gray" || got.LastUpdatedTime != 77 || got.Services["s"].Name != "com.shop.S" {
		t.Errorf("got %+v, want what was published", got)
	}
	revisions, err := r.ListAppRevisions("app")
	if err != nil || len(revisions) != 1 || revisions[0].Revision != "r1" || revisions[0].ModifyTime != 77 {
		t.Errorf("ListAppRevisions: got %v, %v, want r1 at 77", revisions, err)
	}
	for range 2 { // idempotent
		if err := r.UnPublishAppMetadata("app", "r1"); err != nil {
			t.Fatal(err)
		}
	}
	if revisions, err := r.ListAppRevisions("app"); err != nil || len(revisions) != 0 {
		t.Errorf("ListAppRevisions after UnPublish: got %v, %v, want none", revisions, err)
	}
}

func TestReportMapping(t *testing.T) {
	noLeak(t)
	r := NewReport(registryURL(plain.server.Endpoint()))
	writer := NewReport(registryURL(other(plain.server.Endpoint())))
	m, kept := &mappings{}, &mappings{}
	service := unique("com.shop.Map")
	t.Cleanup(func() { _ = r.RemoveServiceAppMappingListener(service, "mapping") })
	for _, l := range []*mappings{m, m, kept} { // adding twice does nothing
		set, err := r.GetServiceAppMapping(service, "mapping", l)
		if err != nil || !set.Empty() {
			t.Fatalf("before any mapping: got %v, %v, want an empty set", set, err)
		}
	}
	for n, application := range []string{"one", "two", "one"} {
		if err := writer.RegisterServiceAppMapping(service, "mapping", application); err != nil {
			t.Fatal(err)
		}
		m.expect(t, []string{"[one]", "[one two]", "[one two]"}[n]) // changes that come together are told together
		// Whatever else is written must not disturb the next one.
		if err := writer.PublishAppMetadata("other", "r", &info.MetadataInfo{}); err != nil {
			t.Fatal(err)
		}
	}
	m.expect(t, "[one two]")
	kept.expect(t, "[one two]")
	set, err := r.GetServiceAppMapping(service, "mapping", nil)
	if err != nil || names(set.Values()) != "[one two]" {
		t.Errorf("mapping: got %v, %v, want one and two", set, err)
	}
	if err := r.RemoveServiceAppMappingListener(service, "mapping"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the watches have ended", func() bool {
		pool.mu.Lock()
		defer pool.mu.Unlock()
		return len(pool.open) == 0
	})
	if err := writer.RegisterServiceAppMapping(service, "mapping", "three"); err != nil {
		t.Fatal(err)
	}
	if m.last != "[one two]" || m.events != 2 {
		t.Errorf("got %d events, the last %s, want 2 and [one two]", m.events, m.last)
	}
}
