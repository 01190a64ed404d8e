// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/internal/nacoslogin"
	"github.com/graylane/graylane/internal/testkit/need"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

// Variables are set before init runs: so dubbo-go's own parts keep their name, and
// are the peers of these tests.
var _ = os.Setenv("GRAYLANE_MODE", "off")

func TestMain(m *testing.M) {
	if address := os.Getenv(folderEnv); address != "" {
		useAll(address)
		return
	}
	code := m.Run()
	enable()
	u := registryURL("127.0.0.1:8848")
	r, err := extension.GetRegistry(Name, u)
	if _, ok := r.(*Registry); !ok || err != nil {
		fmt.Fprintf(os.Stderr, "under the name %s: %T, %v, want ours\n", Name, r, err)
		code = 1
	}
	d, err := extension.GetServiceDiscovery(u)
	if _, ok := d.(*Discovery); !ok || err != nil {
		fmt.Fprintf(os.Stderr, "under the name %s: %T, %v, want ours\n", Name, d, err)
		code = 1
	}
	os.Exit(code)
}

func start(t *testing.T, dir string) *rig.Server {
	t.Helper()
	s, err := rig.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// needNacos ends the test where there is no real Nacos to be had.
func needNacos(t *testing.T) {
	t.Helper()
	need.Long(t, "starts a real Nacos")
	need.Part(t, rig.Missing())
}

// noLeak fails the test if it leaves a goroutine or a connection of ours behind.
func noLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		pool.mu.Lock()
		open := len(pool.open)
		pool.mu.Unlock()
		if open != 0 {
			t.Errorf("%d connections are left", open)
		}
		goleak.VerifyNone(t, before)
	})
}

// noneOfOurs is the same where other goroutines than ours come and go.
func noneOfOurs(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		buf := make([]byte, 4<<20)
		eventually(t, "no goroutine of ours is left", func() bool {
			for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
				if strings.Contains(stack, "registry/nacos.(*") && !strings.Contains(stack, "testing.tRunner") {
					return false
				}
			}
			return true
		})
	})
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30 s: %s", what)
		}
	}
}

func pairs(params []string) common.Option {
	v := url.Values{}
	for i := 0; i < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	return common.WithParams(v)
}

// registryURL is what dubbo-go makes of a registry in dubbogo.yml.
func registryURL(location string, params ...string) *common.URL {
	u, err := common.NewURL("registry://"+location, common.WithLocation(location),
		pairs([]string{constant.RegistryKey, Name, constant.RegistryTimeoutKey, "10s", overrideKey, "0"}), pairs(params))
	if err != nil {
		panic(err)
	}
	return u
}

func provider(service, protocol string, port int, params ...string) *common.URL {
	return common.NewURLWithOptions(
		common.WithProtocol(protocol), common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)),
		common.WithPath("/"+service), common.WithMethods([]string{"Get", "List"}),
		pairs([]string{
			constant.InterfaceKey, service, constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER),
			constant.ReleaseKey, "dubbo-golang-3.3.2", constant.TimestampKey, "1790000000", constant.ApplicationKey, "order",
		}), pairs(params))
}

func consumer(service string, params ...string) *common.URL {
	return common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath("/"+service),
		pairs([]string{constant.InterfaceKey, service, constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)}), pairs(params))
}

func newRegistry(t *testing.T, u *common.URL) *Registry {
	t.Helper()
	r, err := NewRegistry(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Destroy)
	return r
}

func newDiscovery(t *testing.T, u *common.URL) *Discovery {
	t.Helper()
	d, err := NewDiscovery(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Destroy() })
	return d
}

// far is the same Nacos by another account: a connection of its own, as another
// process would have it. The rig asks nobody for a password.
func far(location string, params ...string) *common.URL {
	return registryURL(location, append([]string{constant.NacosAppNameKey, "far"}, params...)...)
}

// plainURL is for dubbo-go's own objects: each with a client and folders of its own.
func plainURL(t *testing.T, location string, params ...string) *common.URL {
	t.Helper()
	dir := t.TempDir()
	return registryURL(location, append([]string{
		constant.ClientNameKey, unique("plain"), constant.NacosLogLevelKey, "error",
		constant.NacosCacheDirKey, filepath.Join(dir, "cache"), constant.NacosLogDirKey, filepath.Join(dir, "log"),
	}, params...)...)
}

// providers is a NotifyListener that keeps the list as a Directory would.
type listenerOfProviders struct {
	mu    sync.Mutex
	now   map[string]*common.URL // by protocol://host:port
	lists int                    // NotifyAll calls
	dels  int                    // Del events
	empty int                    // empty lists after one that was not
}

func newProviders() *listenerOfProviders {
	return &listenerOfProviders{now: make(map[string]*common.URL)}
}

func (p *listenerOfProviders) Notify(e *registry.ServiceEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apply(e)
}

func (p *listenerOfProviders) NotifyAll(events []*registry.ServiceEvent, done func()) {
	defer done()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lists++
	if len(events) == 0 && len(p.now) > 0 {
		p.empty++
	}
	clear(p.now)
	for _, e := range events {
		p.apply(e)
	}
}

func (p *listenerOfProviders) apply(e *registry.ServiceEvent) {
	at := e.Service.Protocol + "://" + e.Service.Location
	if e.Action == remoting.EventTypeDel {
		p.dels++
		delete(p.now, at)
		return
	}
	p.now[at] = e.Service
}

// list is "protocol:port=weight", sorted.
func (p *listenerOfProviders) list() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for _, u := range p.now {
		w := meta.Weight(func(k string) string { return u.GetParam(k, "") })
		all = append(all, fmt.Sprintf("%s:%s=%v", u.Protocol, u.Port, w))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (p *listenerOfProviders) get(at string) *common.URL {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now[at]
}

func (p *listenerOfProviders) counts() (lists, dels, empty int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists, p.dels, p.empty
}

func (p *listenerOfProviders) expect(t *testing.T, want ...string) {
	t.Helper()
	var got string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if got = p.list(); got == strings.Join(want, " ") {
			return
		}
	}
	t.Fatalf("after 30 s the listener has %q, want %q", got, strings.Join(want, " "))
}

// subscribe runs Subscribe, which ends with the registry.
func subscribe(r registry.Registry, u *common.URL, l registry.NotifyListener) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Subscribe(u, l)
	}()
	return ended
}

// set changes what the operator may change, as Nacos's console does: by HTTP.
func set(t *testing.T, s *rig.Server, name string, port int, params ...string) {
	t.Helper()
	v := url.Values{"serviceName": {name}, "ip": {"127.0.0.1"}, "port": {strconv.Itoa(port)}, "ephemeral": {"true"}}
	for i := 0; i < len(params); i += 2 {
		v.Set(params[i], params[i+1])
	}
	status, body, err := nacoslogin.Do(t.Context(), http.MethodPut, "http://"+s.Address()+"/nacos/v1/ns/instance?"+v.Encode(), "")
	if err != nil || status != http.StatusOK {
		t.Fatalf("set %v of %s: %d %s %v", params, name, status, body, err)
	}
}

// hosts is what Nacos itself has, once it has n: it answers with what it last pushed.
func hosts(t *testing.T, u *common.URL, name string, n int) map[uint64]model.Instance {
	t.Helper()
	a, err := addressOf(u)
	if err != nil {
		t.Fatal(err)
	}
	s := acquire(a)
	defer s.release()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var list []model.Instance
	eventually(t, fmt.Sprintf("%d instances of %s", n, name), func() bool {
		if list, err = s.query(ctx, serviceKey{groupOf(u), name}); err != nil {
			t.Fatal(err)
		}
		return len(list) == n
	})
	all := make(map[uint64]model.Instance)
	for _, i := range list {
		all[i.Port] = i
	}
	return all
}

var runs atomic.Int64

// unique returns name with numbers: what dubbo-go's own objects registered stays
// for the whole binary, and what an operator set for longer than an instance.
func unique(name string) string { return fmt.Sprintf("%s%dx%d", name, os.Getpid(), runs.Add(1)) }

// differences compares two maps, key by key.
func differences(got, want map[string]string) string {
	var all []string
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if g, ok := got[k]; !ok || g != want[k] {
			all = append(all, fmt.Sprintf("%s: got %q, want %q", k, g, want[k]))
		}
	}
	for _, k := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[k]; !ok {
			all = append(all, fmt.Sprintf("%s: got %q, want none", k, got[k]))
		}
	}
	return strings.Join(all, "; ")
}
