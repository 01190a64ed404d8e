// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/internal/testkit/etcd"
)

// texts is a listener that keeps what it is told.
type texts struct {
	mu     sync.Mutex
	events []string
}

func (l *texts) Process(e *config_center.ConfigChangeEvent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kind := map[remoting.EventType]string{remoting.EventTypeAdd: "+", remoting.EventTypeUpdate: "=", remoting.EventTypeDel: "-"}[e.ConfigType]
	l.events = append(l.events, fmt.Sprintf("%s%s:%v", kind, e.Key, e.Value))
	if e.Value == "panic" {
		panic("as dubbo-go's listener of data-id does")
	}
}

func (l *texts) expect(t *testing.T, want ...string) {
	t.Helper()
	var got []string
	eventually(t, fmt.Sprintf("events %v", want), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		got = slices.Clone(l.events)
		return len(got) >= len(want)
	})
	if !slices.Equal(got, want) {
		t.Fatalf("events %v, want %v", got, want)
	}
}

func newCenter(t *testing.T, endpoint string, params ...string) *Center {
	t.Helper()
	c, err := NewCenter(registryURL(endpoint, params...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCenterLayout: the keys are those of Dubbo's ZooKeeper centre.
func TestCenterLayout(t *testing.T) {
	noLeak(t)
	endpoint := plain.server.Endpoint()
	key := unique("order") + ".tag-router"
	for n, tc := range []struct {
		params []string
		group  string // of the call
		want   string
	}{
		{nil, "", "/dubbo/config/dubbo/"},
		{nil, "g", "/dubbo/config/g/"},
		{[]string{constant.ConfigGroupKey, "shop"}, "", "/dubbo/config/shop/"},
		{[]string{constant.ConfigGroupKey, "shop"}, "dubbo", "/dubbo/config/dubbo/"},
		{[]string{constant.ConfigNamespaceKey, "test"}, "", "/test/config/dubbo/"},
		{[]string{constant.ConfigRootPathParamKey, "/a/b/"}, "g", "/a/b/g/"},
	} {
		c := newCenter(t, endpoint, tc.params...)
		value := fmt.Sprintf("text %d", n)
		if err := c.PublishConfig(key, tc.group, value); err != nil {
			t.Fatal(err)
		}
		if got := keys(t, endpoint, tc.want+key)[tc.want+key]; got != value {
			t.Errorf("%v, group %q: %q at %s, want %q", tc.params, tc.group, got, tc.want+key, value)
		}
		var opts []config_center.Option
		if tc.group != "" {
			opts = append(opts, config_center.WithGroup(tc.group))
		}
		for name, get := range map[string]func(string, ...config_center.Option) (string, error){
			"GetRule": c.GetRule, "GetProperties": c.GetProperties, "GetInternalProperty": c.GetInternalProperty,
		} {
			if got, err := get(key, opts...); err != nil || got != value {
				t.Errorf("%v, group %q: %s = %q, %v, want %q", tc.params, tc.group, name, got, err, value)
			}
		}
		set, err := c.GetConfigKeysByGroup(tc.group)
		if err != nil || !set.Contains(key) {
			t.Errorf("%v, group %q: keys %v, %v, want %s among them", tc.params, tc.group, set, err, key)
		}
		for range 2 { // idempotent
			if err := c.RemoveConfig(key, tc.group); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.GetRule(key, opts...); err != nil || got != "" {
			t.Errorf("%v, group %q: GetRule after RemoveConfig = %q, %v, want none", tc.params, tc.group, got, err)
		}
	}
}

// TestCenterIsRegistered: the name of dubbogo.yml leads here, and what dubbo-go asks
// for first, a text without a key, costs nothing: also when etcd is down.
func TestCenterIsRegistered(t *testing.T) {
	noLeak(t)
	factory, err := extension.GetConfigCenterFactory(Name)
	if err != nil {
		t.Fatal(err)
	}
	c, err := factory.GetDynamicConfiguration(registryURL("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.GetProperties("", config_center.WithGroup("dubbo")); err != nil || got != "" {
		t.Errorf("GetProperties without data-id: %q, %v, want nothing", got, err)
	}
	if c.Parser() == nil {
		t.Error("no parser")
	}
	if _, err := factory.GetDynamicConfiguration(registryURL("")); err == nil || !strings.Contains(err.Error(), "address") {
		t.Errorf("without address: %v, want an error that names it", err)
	}
	if _, err := NewCenter(registryURL("127.0.0.1:1", constant.ConfigTimeoutKey, "soon")); err == nil || !strings.Contains(err.Error(), constant.ConfigTimeoutKey) {
		t.Errorf("with a wrong timeout: %v, want an error that names it", err)
	}
}

func TestCenterDown(t *testing.T) {
	noLeak(t)
	c := newCenter(t, "127.0.0.1:1", constant.ConfigTimeoutKey, "300ms")
	began := time.Now()
	if _, err := c.GetRule("k"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("GetRule: %v, want address and cause", err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("GetRule took %v with a timeout of 300 ms", took)
	}
}

// TestCenterListeners: who hears what.
func TestCenterListeners(t *testing.T) {
	noLeak(t)
	c := newCenter(t, plain.server.Endpoint())
	key := unique("order") + ".tag-router"
	one, two := &texts{}, &texts{}
	publish := func(text string) {
		t.Helper()
		if err := c.PublishConfig(key, "", text); err != nil {
			t.Fatal(err)
		}
	}
	c.AddListener(key, one)
	c.AddListener(key, one) // does nothing
	publish("a")
	one.expect(t, "+"+key+":a")
	c.AddListener(key, two) // hears of what is there
	two.expect(t, "+"+key+":a")
	publish("panic")
	two.expect(t, "+"+key+":a", "="+key+":panic")
	if err := c.RemoveConfig(key, ""); err != nil {
		t.Fatal(err)
	}
	one.expect(t, "+"+key+":a", "="+key+":panic", "-"+key+":")
	c.RemoveListener(key, one)
	publish("b")
	two.expect(t, "+"+key+":a", "="+key+":panic", "-"+key+":", "+"+key+":b")
	one.expect(t, "+"+key+":a", "="+key+":panic", "-"+key+":")
	c.RemoveListener(key, two)
	c.RemoveListener(key, two)
}

// TestCenterOutage:
//  1. a listener hears a text
//  2. etcd stops and starts again: the text is not told again
//  3. changes and deletes are told as before.
func TestCenterOutage(t *testing.T) {
	noLeak(t)
	server, err := etcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	c := newCenter(t, server.Endpoint(), constant.ConfigTimeoutKey, "20s")
	l := &texts{}
	c.AddListener("k", l)
	t.Cleanup(func() { c.RemoveListener("k", l) })
	// 1
	if err := c.PublishConfig("k", "", "a"); err != nil {
		t.Fatal(err)
	}
	l.expect(t, "+k:a")
	// 2
	server.Stop()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	// 3
	if err := c.PublishConfig("k", "", "b"); err != nil {
		t.Fatal(err)
	}
	l.expect(t, "+k:a", "=k:b")
	if err := c.RemoveConfig("k", ""); err != nil {
		t.Fatal(err)
	}
	l.expect(t, "+k:a", "=k:b", "-k:")
}
