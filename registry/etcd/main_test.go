// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
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
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/internal/testkit/etcd"
)

// plain is an etcd and dubbo-go's own objects on it. Package variables are
// initialised before our init registers over dubbo-go's names: this is the only
// moment at which dubbo-go's constructors can be had.
var plain = startPlain()

type plainPeers struct {
	dir       string
	server    *etcd.Server
	registry  registry.Registry
	discovery registry.ServiceDiscovery
	report    report.MetadataReport
}

func startPlain() *plainPeers {
	dir, err := os.MkdirTemp("", "graylane-etcd-")
	must(err)
	p := &plainPeers{dir: dir}
	p.server, err = etcd.Start(dir)
	must(err)
	u := registryURL(p.server.Endpoint())
	p.registry, err = extension.GetRegistry(Name, u)
	must(err)
	p.discovery, err = extension.GetServiceDiscovery(u)
	must(err)
	p.report = extension.GetMetadataReportFactory(Name).CreateMetadataReport(u)
	return p
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	plain.server.Close()
	must(os.RemoveAll(plain.dir))
	os.Exit(code)
}

// noLeak fails the test if it leaves a goroutine or a connection of ours behind.
func noLeak(t *testing.T) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		eventually(t, "all connections are closed", func() bool {
			pool.mu.Lock()
			defer pool.mu.Unlock()
			return len(pool.open) == 0
		})
		// The embedded server runs in this process, and leaves a stream of its own
		// behind now and then when it is stopped.
		goleak.VerifyNone(t, before,
			goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*LeaseServer).LeaseKeepAlive"),
			goleak.IgnoreAnyFunction("go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc.(*LeaseServer).leaseKeepAlive"),
			// dubbo-go's own clients, which live as long as this process, open the stream
			// of their lease when they please. Ours are closed, as was seen above.
			goleak.IgnoreAnyFunction("go.etcd.io/etcd/client/v3.(*lessor).sendKeepAliveLoop"),
			goleak.IgnoreAnyFunction("google.golang.org/grpc.newClientStreamWithParams.func4"))
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

// registryURL is what dubbo-go makes of a registry in dubbogo.yml.
func registryURL(endpoint string, params ...string) *common.URL {
	opts := []common.Option{
		common.WithLocation(endpoint),
		common.WithParamsValue(constant.RegistryKey, Name),
		common.WithParamsValue(constant.RegistryTimeoutKey, "10s"),
	}
	for i := 0; i < len(params); i += 2 {
		opts = append(opts, common.WithParamsValue(params[i], params[i+1]))
	}
	u, err := common.NewURL(Name+"://"+endpoint, opts...)
	must(err)
	return u
}

// other returns the same endpoint by another name: another shared connection, as
// another process would have it.
func other(endpoint string) string {
	_, port, err := net.SplitHostPort(endpoint)
	must(err)
	return net.JoinHostPort("localhost", port)
}

func providerURL(service string, port int, params ...string) *common.URL {
	opts := []common.Option{
		common.WithProtocol("tri"), common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)),
		common.WithPath("/" + service), common.WithMethods([]string{"Get", "List"}),
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER)),
		common.WithParamsValue(constant.TimestampKey, "1"),
	}
	for i := 0; i < len(params); i += 2 {
		opts = append(opts, common.WithParamsValue(params[i], params[i+1]))
	}
	return common.NewURLWithOptions(opts...)
}

func consumerURL(service string) *common.URL {
	return common.NewURLWithOptions(
		common.WithProtocol("tri"), common.WithPath("/"+service),
		common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)),
	)
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

// providers is a NotifyListener that keeps the list as a Directory would.
type providers struct {
	mu      sync.Mutex
	now     map[string]string // host:port/service -> timestamp
	lists   int               // NotifyAll calls
	dels    int               // single Del events
	empty   int               // times the list was empty after it had not been
	foreign []string          // services other than the one asked for
	service string
}

func newProviders(service string) *providers {
	return &providers{service: service, now: make(map[string]string)}
}

func (p *providers) Notify(e *registry.ServiceEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apply(e)
}

func (p *providers) NotifyAll(events []*registry.ServiceEvent, done func()) {
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

func (p *providers) apply(e *registry.ServiceEvent) {
	if e.Service.Service() != p.service {
		p.foreign = append(p.foreign, e.Service.Service())
	}
	if e.Action == remoting.EventTypeDel {
		p.dels++
		// Like a Directory: an old incarnation that goes does not take the new one along.
		if p.now[e.Service.Location] == e.Service.GetParam(constant.TimestampKey, "") {
			delete(p.now, e.Service.Location)
		}
		if len(p.now) == 0 {
			p.empty++
		}
		return
	}
	p.now[e.Service.Location] = e.Service.GetParam(constant.TimestampKey, "")
}

// String is the list as "host:port@timestamp", sorted.
func (p *providers) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []string
	for address, stamp := range p.now {
		all = append(all, address+"@"+stamp)
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (p *providers) counts() (lists, dels, empty int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lists, p.dels, p.empty
}

func (p *providers) expect(t *testing.T, want ...string) {
	t.Helper()
	var got string
	eventually(t, fmt.Sprintf("providers of %s: %v", p.service, want), func() bool {
		got = p.String()
		return got == strings.Join(want, " ")
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.foreign) > 0 {
		t.Errorf("subscriber of %s was told of %v", p.service, p.foreign)
	}
}

// subscribe runs Subscribe and returns a channel that is closed when it has returned.
func subscribe(t *testing.T, r registry.Registry, u *common.URL, l registry.NotifyListener) <-chan struct{} {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = r.Subscribe(u, l)
	}()
	return ended
}

// keys returns what etcd itself has under prefix.
func keys(t *testing.T, endpoint, prefix string) map[string]string {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	got, err := c.Get(ctx, prefix, clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, kv := range got.Kvs {
		all[string(kv.Key)] = string(kv.Value)
	}
	return all
}

var runs atomic.Int64

// unique returns name with a number: dubbo-go's own objects and what they wrote stay
// for the whole binary, also from one -count to the next.
func unique(name string) string { return fmt.Sprintf("%s%d", name, runs.Add(1)) }

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
