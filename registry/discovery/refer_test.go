// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/fatal"
	"github.com/graylane/graylane/internal/meta"
)

// fakeRegistry hands the same list to every subscriber.
type fakeRegistry struct {
	url  *common.URL
	mu   sync.Mutex
	subs []registry.NotifyListener
}

var registries struct {
	sync.Mutex
	made []*fakeRegistry
	list []*common.URL
}

func (r *fakeRegistry) GetURL() *common.URL                                    { return r.url }
func (r *fakeRegistry) IsAvailable() bool                                      { return true }
func (r *fakeRegistry) Destroy()                                               {}
func (r *fakeRegistry) Register(*common.URL) error                             { return nil }
func (r *fakeRegistry) UnRegister(*common.URL) error                           { return nil }
func (r *fakeRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }

func (r *fakeRegistry) LoadSubscribeInstances(*common.URL, registry.NotifyListener) error {
	return nil
}

func (r *fakeRegistry) Subscribe(_ *common.URL, l registry.NotifyListener) error {
	r.mu.Lock()
	r.subs = append(r.subs, l)
	r.mu.Unlock()
	registries.Lock()
	var events []*registry.ServiceEvent
	for _, u := range registries.list {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
	}
	registries.Unlock()
	l.NotifyAll(events, func() {})
	return nil
}

func init() {
	extension.SetRegistry("fakereg", func(u *common.URL) (registry.Registry, error) {
		r := &fakeRegistry{url: u}
		registries.Lock()
		defer registries.Unlock()
		registries.made = append(registries.made, r)
		return r, nil
	})
}

// TestRefer: the first call finds the first list; two references to one service
// have a registry object each and the same instances.
func TestRefer(t *testing.T) {
	newWire()
	registries.list = []*common.URL{providerURL(1, "a", 100), providerURL(2, "b", 100, tag.KeyTag, "gray")}
	before := len(registries.made)
	var refs []base.Invoker
	for range 2 {
		u := registryURL()
		u.Location = "fake" // not an address: nothing to reach
		u.SubURL.SetParam(tag.KeyTag, "")
		u.SubURL.SetParam(constant.ClusterKey, lossless.Name)
		ref := Refer(u)
		if ref == nil {
			t.Fatal("no invoker")
		}
		refs = append(refs, ref)
	}
	for n, ref := range refs {
		for range 20 {
			if err := ref.Invoke(context.Background(), invocation.NewRPCInvocation("Get", nil, nil)).Error(); err != nil {
				t.Errorf("reference %d: %v", n, err)
			}
		}
		if !ref.IsAvailable() {
			t.Errorf("reference %d is not available", n)
		}
	}
	if got := len(registries.made) - before; got != 2 {
		t.Errorf("%d registry objects for two references to one service, want 2", got)
	}
	if got := len(Registries()); got < 2 {
		t.Errorf("Registries() has %d", got)
	}
	for _, ref := range refs {
		ref.Destroy()
	}
}

// askedRegistry is one that can be asked and that follows until it is told to stop.
type askedRegistry struct {
	fakeRegistry
	deaf *bool
	stop chan struct{}
}

func (r *askedRegistry) Check(context.Context) error {
	if *r.deaf {
		return errors.New("no answer")
	}
	return nil
}

func (r *askedRegistry) Subscribe(u *common.URL, l registry.NotifyListener) error {
	if err := r.fakeRegistry.Subscribe(u, l); err != nil {
		return err
	}
	<-r.stop
	return nil
}

func (r *askedRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error {
	select {
	case r.stop <- struct{}{}:
	default: // ended
	}
	return nil
}

// TestOneObject: one registry object serves however many tries of a registry that
// takes connections but does not answer, and then one reference after the other.
func TestOneObject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newWire()
		registries.list = []*common.URL{providerURL(1, "a", 100)}
		made, deaf := 0, true
		extension.SetRegistry("askedreg", func(u *common.URL) (registry.Registry, error) {
			made++
			return &askedRegistry{fakeRegistry{url: u}, &deaf, make(chan struct{})}, nil
		})
		reference := func() (*Directory, *source) {
			u := registryURL()
			u.Protocol, u.Location = "askedreg", "fake" // not an address: nothing to reach
			d := newDirectory(u)
			return d, d.newSource(u, u.SubURL)
		}
		d, s := reference()
		for range 10 {
			if s.follow(time.Second, false) == nil {
				t.Fatal("follows a registry that does not answer")
			}
		}
		deaf = false
		for range 3 {
			if err := s.follow(time.Second, false); err != nil {
				t.Fatal(err)
			}
			want(t, d, "followed", "a")
			synctest.Wait() // the subscription is under way, or its end is tried again a second later
			d.Destroy()
			synctest.Wait()
			d, s = reference()
		}
		if made != 1 {
			t.Errorf("%d registry objects, want 1", made)
		}
		time.Sleep(2 * redial)
		for key := range subscriptions.m {
			if strings.HasPrefix(key, "askedreg|") {
				delete(subscriptions.m, key) // its channels are of this bubble
			}
		}
	})
}

// TestReferWhileProvidersCome: a reference's next registry may be added while its
// first one speaks. For the race detector.
func TestReferWhileProvidersCome(t *testing.T) {
	newWire()
	registries.list = []*common.URL{providerURL(1, "a", 100)}
	urls := severalURLs(lossless.Name)
	invoker := Refer(urls[0])
	references.Lock()
	s := references.m[urls[0].SubURL].d.sources[0]
	references.Unlock()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for weight := 1; ; weight++ {
			select {
			case <-stop:
				return
			default:
				s.Notify(&registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: providerURL(1, "a", 100, constant.WeightKey, strconv.Itoa(weight))})
			}
		}
	}()
	if other := Refer(urls[1]); other != invoker {
		t.Error("the second registry has an invoker of its own")
	}
	close(stop)
	<-stopped
	invoker.Destroy()
}

// TestUnreachable: a registry that is down ends the start with one line that
// names it; a registry that nobody imported is an error, no panic.
func TestUnreachable(t *testing.T) {
	old, oldExit := *conf.Current(), exit
	t.Cleanup(func() { conf.Set(old); exit = oldExit })
	c := conf.Default()
	c.Register.Timeout = 100_000_000
	conf.Set(c)
	for _, protocol := range []string{"fakereg", "nobody-imported-it"} {
		line := ""
		exit = func(err error) {
			if line == "" {
				line = fatal.Line(err)
			}
			panic(exited{})
		}
		u := registryURL()
		u.Protocol, u.Location = protocol, "127.0.0.1:1"
		if protocol != "fakereg" {
			u.Location = "fake"
		}
		u.SetParam(constant.RegistryKey, protocol)
		u.SubURL.SetParam(constant.ClusterKey, lossless.Name)
		func() {
			defer func() {
				if r := recover(); r != nil {
					if _, ok := r.(exited); !ok {
						t.Errorf("%s: panic %v", protocol, r)
					}
				}
			}()
			Refer(u)
		}()
		references.Lock()
		left := references.m[u.SubURL].d // the process would have ended
		references.Unlock()
		left.Destroy()
		if want := "graylane: registry " + protocol + "://" + u.Location; len(line) < len(want) || line[:len(want)] != want {
			t.Errorf("%s: line %q, want it to begin with %q", protocol, line, want)
		}
	}
}

type exited struct{}

// plain is an instance as dubbo-go's registries make them.
func plain(more func(*registry.DefaultServiceInstance)) *registry.DefaultServiceInstance {
	i := &registry.DefaultServiceInstance{
		ID: "1", ServiceName: "order", Host: "127.0.0.1", Port: 20001, Enable: true, Healthy: true,
		Metadata: map[string]string{constant.ServiceInstanceEndpoints: `[{"port":20001,"protocol":"tri"}]`},
	}
	more(i)
	return i
}

// TestToURLs: what the instance says of itself is in the URL of each service.
func TestToURLs(t *testing.T) {
	s := info.NewServiceInfo(service, "", "", constant.TriProtocol, service, map[string]string{"methods": "Get", constant.WeightKey: "0"})
	for _, tc := range []struct {
		name string
		more func(*registry.DefaultServiceInstance)
		key  string
		want string
	}{
		{"tag of the instance", func(i *registry.DefaultServiceInstance) { i.Tag = "gray" }, constant.Tagkey, "gray"},
		{"tag lost on a push", func(i *registry.DefaultServiceInstance) { i.Metadata[constant.Tagkey] = "gray" }, constant.Tagkey, "gray"},
		{"no tag", func(*registry.DefaultServiceInstance) {}, constant.Tagkey, ""},
		{"start time", func(i *registry.DefaultServiceInstance) { i.Metadata[tag.MetaStartTime] = "1790000000123" }, tag.MetaStartTime, "1790000000123"},
		{"warm-up time", func(i *registry.DefaultServiceInstance) { i.Metadata[tag.MetaWarmupTime] = "120000" }, tag.MetaWarmupTime, "120000"},
		{"incarnation", func(i *registry.DefaultServiceInstance) { i.Metadata[tag.MetaIncarnation] = "0123456789abcdef" }, tag.MetaIncarnation, "0123456789abcdef"},
		{"timestamp", func(i *registry.DefaultServiceInstance) { i.Metadata[constant.TimestampKey] = "1790000000" }, constant.TimestampKey, "1790000000"},
		{"weight", func(i *registry.DefaultServiceInstance) { i.Metadata[constant.WeightKey] = "250" }, constant.WeightKey, "250"},
		{"no weight", func(*registry.DefaultServiceInstance) {}, constant.WeightKey, strconv.Itoa(constant.DefaultWeight)},
		{"weight 0", func(i *registry.DefaultServiceInstance) { i.Metadata[constant.WeightKey] = "0" }, constant.WeightKey, strconv.Itoa(constant.DefaultWeight)},
		{"application", func(*registry.DefaultServiceInstance) {}, constant.ApplicationKey, "order"},
	} {
		urls := wrap([]registry.ServiceInstance{plain(tc.more)})[0].ToURLs(s)
		if len(urls) != 1 {
			t.Fatalf("%s: %d URLs, want 1", tc.name, len(urls))
		}
		if got := urls[0].GetParam(tc.key, ""); got != tc.want {
			t.Errorf("%s: %s = %q, want %q", tc.name, tc.key, got, tc.want)
		}
		if urls[0].Location != "127.0.0.1:20001" || urls[0].Protocol != constant.TriProtocol || urls[0].Service() != service {
			t.Errorf("%s: %s", tc.name, urls[0])
		}
	}
	// Two starts at one address have two keys in dubbo-go's caches.
	key := func(timestamp string) string {
		i := plain(func(i *registry.DefaultServiceInstance) { i.Metadata[constant.TimestampKey] = timestamp })
		return wrap([]registry.ServiceInstance{i})[0].ToURLs(s)[0].GetCacheInvokerMapKey()
	}
	if key("1790000000") == key("1790000001") {
		t.Error("two starts of one address share a key")
	}
}

// TestToURLsOfJava: Dubbo Java keeps the tag, weight and window that a user gave a
// service in the service info, none of it in the instance's metadata; these are what
// 3.3.6 published on ZooKeeper. The instance's own word wins.
func TestToURLsOfJava(t *testing.T) {
	s := info.NewServiceInfo(service, "", "", constant.TriProtocol, service, map[string]string{
		"methods": "get", "release": "3.3.6", constant.Tagkey: "gray", constant.WeightKey: "250", constant.WarmupKey: "60000",
	})
	for _, tc := range []struct {
		name     string
		registry int64
		metadata map[string]string
		want     map[string]string
	}{
		{"ZooKeeper", 0, nil, map[string]string{constant.Tagkey: "gray", constant.WeightKey: "250", constant.WarmupKey: "60000"}},
		{"a registry with weights", 30, nil, map[string]string{constant.Tagkey: "gray", constant.WeightKey: "30"}},
		{"the instance's own", 0, map[string]string{constant.Tagkey: "blue", constant.WeightKey: "7"}, map[string]string{constant.Tagkey: "blue", constant.WeightKey: "7"}},
	} {
		i := plain(func(i *registry.DefaultServiceInstance) {
			i.Weight = tc.registry
			maps.Copy(i.Metadata, tc.metadata)
			i.Metadata[constant.TimestampKey] = "1790000000123"
		})
		u := wrap([]registry.ServiceInstance{i})[0].ToURLs(s)[0]
		for key, want := range tc.want {
			if got := u.GetParam(key, ""); got != want {
				t.Errorf("%s: %s = %q, want %q", tc.name, key, got, want)
			}
		}
	}
}

// TestMetadataForRules: what the instance says beside its URLs can be asked for,
// but for what dubbo-go keeps there for itself.
func TestMetadataForRules(t *testing.T) {
	s := info.NewServiceInfo(service, "", "", constant.TriProtocol, service, map[string]string{"methods": "Get", "zone": "a"})
	of := func(metadata map[string]string) any {
		i := plain(func(i *registry.DefaultServiceInstance) { i.Metadata = metadata })
		more, _ := wrap([]registry.ServiceInstance{i})[0].ToURLs(s)[0].GetAttribute(meta.Instance)
		return more
	}
	endpoints := `[{"port":20001,"protocol":"tri"}]`
	if got := of(map[string]string{constant.ServiceInstanceEndpoints: endpoints, tag.MetaStartTime: "1790000000123", "zone": "b"}); got != nil {
		t.Errorf("%v beside the URL, want nothing", got)
	}
	got, _ := of(map[string]string{constant.ServiceInstanceEndpoints: endpoints, "env": "gray", "empty": ""}).(map[string]string)
	if len(got) != 1 || got["env"] != "gray" {
		t.Errorf("%v beside the URL, want env alone", got)
	}
}

// TestWrap: disabled instances are left out, and nil ones.
func TestWrap(t *testing.T) {
	list := []registry.ServiceInstance{
		plain(func(*registry.DefaultServiceInstance) {}), nil,
		plain(func(i *registry.DefaultServiceInstance) { i.Enable = false }),
	}
	if got := wrap(list); len(got) != 1 || !got[0].IsEnable() {
		t.Errorf("%d instances, want the enabled one", len(got))
	}
}
