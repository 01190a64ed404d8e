// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple/reflection"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	_ "dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	"dubbo.apache.org/dubbo-go/v3/registry"
	_ "dubbo.apache.org/dubbo-go/v3/registry/servicediscovery"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/server"
	"dubbo.apache.org/dubbo-go/v3/tls"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/log/logger"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/registry/discovery"
	_ "github.com/graylane/graylane/registry/etcd"      // instead of dubbo-go's
	_ "github.com/graylane/graylane/registry/nacos"     // instead of dubbo-go's
	_ "github.com/graylane/graylane/registry/zookeeper" // instead of dubbo-go's, but see ownZooKeeper
)

// dubbo-go shuts down once a process, so each provider of these tests is one: the
// test binary itself, told what to be by this variable.
const childEnv = "GRAYLANE_LIFECYCLE_TEST_PROVIDER"

// provider says what a child process is.
type provider struct {
	Tri, Dubbo  int      // ports; 0: not served
	Metadata    int      // port of dubbo-go's metadata service
	Registries  []string // addresses of the test registry: "<behaviour>:<port>", or "<kind>://<address>"
	Application bool     // application level
	Both        bool     // both levels
	More        bool     // another service; with both ports all are served over both protocols
	Tag         string   // of the application, default "gray"
	ServiceTag  string   // instead of the application's tag
	Weight      string   // register.publish-weight
	Cert, Key   string   // files: Triple with TLS
	Require     bool
	Check       conf.Check
	Gated       bool          // a check of the program, which passes once the test says "pass"
	Hook        string        // "ok" or "fail": a hook before registration
	OwnSignals  bool          // internal-signal: false, the program's own handler, started by dubbo.Load too
	Outgoing    time.Duration // a call to others that runs so long, beginning with the test's "call"
	Context     bool          // main returns, after Shutdown, when the test says "cancel"; what serves is served by ServeContext until then
	Manual      bool
	Delay       time.Duration
	Timeout     time.Duration // of the registration
	Shutdown    conf.Shutdown
}

const (
	triService   = "graylane.lifecycle.Tri"
	dubboService = "graylane.lifecycle.Dubbo"
	moreService  = "graylane.lifecycle.More"
	testRegistry = "lifecycle-test"
)

func TestMain(m *testing.M) {
	extension.SetProtocol(constant.RegistryProtocol, func() base.Protocol { return throughUs{} })
	extension.SetGlobalServiceNameMapping(func() mapping.ServiceNameMapping { return noMapping{} })
	if spec := os.Getenv(childEnv); spec != "" {
		var p provider
		if err := json.Unmarshal([]byte(spec), &p); err != nil {
			panic(err)
		}
		p.run()
		return
	}
	logger.SetLoggerLevel("error") // of the consumers in the test itself
	os.Exit(m.Run())
}

// say is how a child talks to its test: one line on stdout.
func say(format string, args ...any) {
	_, err := fmt.Fprintf(os.Stdout, "SAY "+format+"\n", args...)
	must(err)
}

// throughUs is protocol "registry" as the package graylane has it.
type throughUs struct{ base.Protocol }

func (throughUs) Refer(u *common.URL) base.Invoker         { return discovery.Refer(u) }
func (throughUs) Export(i base.Invoker) base.Exporter      { return Export(i) }
func (throughUs) GetRegistries() []registry.Registry       { return Registries() }
func (throughUs) UnregisterRegistries()                    { UnregisterRegistries() }
func (throughUs) PostProcessReferenceConfig(_ *common.URL) {}

func (throughUs) PostProcessServiceConfig(u *common.URL) {
	if strings.HasPrefix(u.Interface(), "graylane.") {
		u.SetParam(constant.ServiceFilterKey, shutdown.Name+",echo")
		DecorateService(u, "")
	} else {
		u.SetParam(constant.ServiceFilterKey, shutdown.WatchName+",echo")
	}
}

// Handler is the service (exported, or dubbo-go refuses it).
type Handler struct{ name string }

func (h *Handler) Reference() string { return h.name }

// Call sleeps as long as it is told, and fails when it is told so.
func (h *Handler) Call(_ context.Context, in string) (string, error) {
	if in == "fail" {
		return "", errors.New("out of stock")
	}
	d, err := time.ParseDuration(in)
	if err != nil {
		return "", err
	}
	time.Sleep(d) // the work
	return in, nil
}

var tripleInfo = &common.ServiceInfo{InterfaceName: triService, Methods: []common.MethodInfo{{
	Name: "Call", Type: constant.CallUnary,
	ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
	MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
		out, err := h.(*Handler).Call(ctx, args[0].(*wrapperspb.StringValue).GetValue())
		if err != nil {
			return nil, err
		}
		return triple_protocol.NewResponse(wrapperspb.String(out)), nil
	},
}}}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
}

func (p provider) run() {
	c := conf.Default()
	c.Shutdown = p.Shutdown
	c.Register.Require, c.Register.Manual, c.Register.Delay = p.Require, p.Manual, p.Delay
	c.Register.Timeout = p.Timeout
	if p.Check != (conf.Check{}) {
		c.Register.Check = p.Check
	}
	if p.Weight != "" {
		c.Register.PublishWeight = p.Weight
	}
	c.Warmup.Window = 0
	if p.Application || p.Both {
		c.Warmup.Window = 90 * time.Second
	}
	conf.Set(c)
	extension.SetConfigPostProcessor("lifecycle-test", throughUs{})
	extension.SetRegistry(testRegistry, newFakeRegistry)
	extension.SetServiceDiscovery(testRegistry, newFakeDiscovery)
	InitShutdown()
	OnStopped(func() { say("stopped") })
	p.prepare()
	say("incarnation %s", Incarnation())
	if p.OwnSignals {
		p.load()
	}

	var opts []dubbo.InstanceOption
	opts = append(opts, dubbo.WithName("shop"), dubbo.WithMetadataServicePort(p.Metadata))
	if p.ServiceTag == "" {
		opts = append(opts, dubbo.WithTag(cmp.Or(p.Tag, "gray")))
	}
	for i, address := range p.Registries {
		kind := testRegistry
		if name, at, ok := strings.Cut(address, "://"); ok {
			kind, address = name, at
		}
		level := []registry.Option{
			registry.WithRegistry(kind), registry.WithID(fmt.Sprintf("r%d", i)), registry.WithAddress(address),
			registry.WithoutUseAsMetaReport(), registry.WithoutUseAsConfigCenter(),
		}
		switch {
		case p.Both:
			level = append(level, registry.WithRegisterServiceAndInterface())
		case p.Application:
			level = append(level, registry.WithRegisterService())
		default:
			level = append(level, registry.WithRegisterInterface())
		}
		opts = append(opts, dubbo.WithRegistry(level...))
	}
	for name, port := range map[string]int{"tri": p.Tri, "dubbo": p.Dubbo} {
		if port != 0 {
			opts = append(opts, dubbo.WithProtocol(protocol.WithProtocol(name), protocol.WithID(name), protocol.WithIp("127.0.0.1"), protocol.WithPort(port)))
		}
	}
	ins, err := dubbo.NewInstance(opts...)
	must(err)
	InstallSignals() // after dubbo-go has made its logger, as the package graylane does it
	var serverOpts []server.ServerOption
	if p.Cert != "" {
		serverOpts = append(serverOpts, server.WithServerTLSOption(tls.WithCertFile(p.Cert), tls.WithKeyFile(p.Key)))
	}
	srv, err := ins.NewServer(serverOpts...)
	must(err)
	if p.Tri != 0 {
		must(srv.Register(&Handler{triService}, tripleInfo, server.WithInterface(triService), server.WithTag(p.ServiceTag)))
	}
	if p.Dubbo != 0 {
		must(srv.RegisterService(&Handler{dubboService}, server.WithInterface(dubboService), server.WithSerialization(constant.Hessian2Serialization)))
	}
	if p.More {
		must(srv.Register(&Handler{moreService}, tripleInfo, server.WithInterface(moreService)))
	}
	if len(p.Registries) == 0 {
		MarkReady()
	}
	go p.obey(srv)
	go p.announce()
	serves := p.Tri != 0 || p.Dubbo != 0 || p.More // one that only calls has no server to start
	if p.Context {
		if serves {
			err := srv.ServeContext(serving)
			say("served: %v", err)
		}
		<-serving.Done()
		must(Shutdown(context.Background()))
		say("shut down")
		return
	}
	if serves {
		must(srv.Serve())
	}
	select {} // the signal handler ends the process
}

// prepare adds what must happen before registration.
func (p provider) prepare() {
	if p.Gated {
		AddCheck("the program's own", func(context.Context) error {
			select {
			case <-passes:
				return nil
			default:
				return errors.New("still loading")
			}
		})
	}
	if p.Hook != "" {
		OnBeforeRegister(func(context.Context) error {
			say("hook")
			if p.Hook == "fail" {
				return errors.New("no cache")
			}
			return nil
		})
	}
}

// load is a program that was started by dubbo.Load, has set internal-signal:
// false and handles the signal itself.
func (p provider) load() {
	extension.AddCustomShutdownCallback(func() { say("callback") })
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	dubbo.SetProviderServiceWithInfo(&Handler{"Shop"}, tripleInfo)
	must(dubbo.Load(dubbo.WithBytes(fmt.Appendf(nil, `
dubbo:
  application: { name: shop, tag: gray, metadata-service-port: "%d" }
  registries: { r0: { protocol: %s, address: "%s", registry-type: interface, use-as-meta-report: "false", use-as-config-center: "false" } }
  protocols: { tri: { name: tri, ip: 127.0.0.1, port: "%d" } }
  provider: { services: { Shop: { interface: %s } } }
  shutdown: { internal-signal: false }
`, p.Metadata, testRegistry, p.Registries[0], p.Tri, triService))))
	go p.announce()
	<-signals
	say("own signal handler")
	err := Shutdown(context.Background())
	say("shut down: %v", err)
	os.Exit(0)
}

// announce says when the instance is ready.
func (provider) announce() {
	for !Ready() { // the probe polls, too
		time.Sleep(5 * time.Millisecond)
	}
	say("ready")
}

// serving ends with stopServing.
var serving, stopServing = context.WithCancel(context.Background())

// passes is closed when the program's own check may pass.
var passes = make(chan struct{})

// obey does what the test writes, one word and its argument a line.
func (p provider) obey(srv *server.Server) {
	for s := bufio.NewScanner(os.Stdin); s.Scan(); {
		word, arg, _ := strings.Cut(s.Text(), " ")
		switch word {
		case "pass":
			close(passes)
		case "register":
			say("letting it register")
			must(Register(context.Background()))
			say("registered")
		case "cancel":
			stopServing()
		case "shutdown": // by several, and by dubbo-go's own entry
			for range 3 {
				go func() { say("Shutdown returned %v", Shutdown(context.Background())) }()
			}
			go func() { say("dubbo-go's returned %v", graceful_shutdown.Shutdown(context.Background())) }()
		case "unexport":
			srv.GetServiceOptionsByInterfaceName(arg).Unexport()
			say("unexported %s", arg)
		case "call":
			e := &endpoint.Endpoint{Instance: endpoint.Shared.Acquire("127.0.0.1:1", "00", "stock", endpoint.Birth{})}
			if !e.Begin(true) {
				panic("the call did not begin")
			}
			time.AfterFunc(p.Outgoing, func() { say("call ended"); e.End(endpoint.Answered) })
			say("calling")
		}
	}
	os.Exit(6) // the test is gone
}

// fakeRegistry registers by talking to the test; its address says how it fails.
type fakeRegistry struct {
	url *common.URL
}

var flaky atomic.Int32

func newFakeRegistry(u *common.URL) (registry.Registry, error) {
	switch behaviour, _, _ := strings.Cut(u.Location, ":"); behaviour {
	case "down":
		return nil, errors.New("connection refused")
	case "panics":
		panic("nobody home")
	case "flaky":
		if n := flaky.Add(1); n < 4 {
			return nil, fmt.Errorf("try %d failed", n)
		}
	}
	return &fakeRegistry{url: u}, nil
}

func (r *fakeRegistry) GetURL() *common.URL { return r.url }
func (r *fakeRegistry) IsAvailable() bool   { return true }
func (r *fakeRegistry) Destroy()            {}

func (r *fakeRegistry) Register(u *common.URL) error {
	if strings.HasPrefix(r.url.Location, "watched:") { // by a caller that is as quick as can be
		must(ports.Await(u.Location, patience)) // the port is opened a little later
		say("health of %s: %v", u.Service(), ack.Send(context.Background(), u, "web-1;?", tag.StateClosing, "?"))
	}
	say("register %s %s %s", r.url.Location, u.Service(), params(u))
	listed.Store(u, r.url.Location)
	return nil
}

func (r *fakeRegistry) UnRegister(u *common.URL) error {
	if strings.HasPrefix(r.url.Location, "hangs:") {
		select {}
	}
	say("unregister %s %s", r.url.Location, u.Service())
	listed.Delete(u)
	return nil
}

// listed is what the test registries know: URLs and instances, by registry.
var listed sync.Map

func (r *fakeRegistry) Subscribe(*common.URL, registry.NotifyListener) error   { return nil }
func (r *fakeRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }

// LoadSubscribeInstances lists what is registered, unless the registry is blind.
func (r *fakeRegistry) LoadSubscribeInstances(ref *common.URL, l registry.NotifyListener) error {
	var events []*registry.ServiceEvent
	listed.Range(func(k, at any) bool {
		if u, ok := k.(*common.URL); ok && at == r.url.Location && u.ServiceKey() == ref.ServiceKey() && !strings.HasPrefix(r.url.Location, "blind:") {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: u})
		}
		return true
	})
	l.NotifyAll(events, func() {})
	return nil
}

// params prints what a URL says about the instance.
func params(u *common.URL) string {
	m := map[string]string{}
	for _, k := range published {
		m[k] = u.GetParam(k, "")
	}
	return asJSON(m)
}

// published are the keys that the tests look at.
var published = []string{"StartTime", "WarmupTime", "graylane-incarnation", "dubbo.tag", "timestamp", "warmup", "weight"}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	must(err)
	return string(b)
}

func newFakeDiscovery(u *common.URL) (registry.ServiceDiscovery, error) {
	if _, err := newFakeRegistry(u); err != nil {
		return nil, err
	}
	return &fakeDiscovery{url: u}, nil
}

// fakeDiscovery is the test registry at application level.
type fakeDiscovery struct {
	registry.ServiceDiscovery
	url *common.URL
}

func (d *fakeDiscovery) String() string { return "fake" }
func (d *fakeDiscovery) Destroy() error { return nil }

func (d *fakeDiscovery) Register(i registry.ServiceInstance) error {
	metadata := maps.Clone(i.GetMetadata())
	maps.DeleteFunc(metadata, func(k, _ string) bool { return !slices.Contains(published, k) })
	say("instance %s %s weight=%d tag=%s revision=%s %s", d.url.Location, i.GetAddress(), i.GetWeight(), i.GetTag(),
		i.GetMetadata()[constant.ExportedServicesRevisionPropertyName], asJSON(metadata))
	listed.Store(i, d.url.Location)
	return nil
}

// GetInstances lists what is registered, unless the registry is blind.
func (d *fakeDiscovery) GetInstances(app string) (list []registry.ServiceInstance) {
	listed.Range(func(k, at any) bool {
		if i, ok := k.(registry.ServiceInstance); ok && at == d.url.Location && i.GetServiceName() == app && !strings.HasPrefix(d.url.Location, "blind:") {
			list = append(list, i)
		}
		return true
	})
	return list
}

func (d *fakeDiscovery) Unregister(i registry.ServiceInstance) error {
	say("gone %s %s", d.url.Location, i.GetAddress())
	return nil
}
func (d *fakeDiscovery) Update(registry.ServiceInstance) error { return nil }

type noMapping struct{}

func (noMapping) Map(*common.URL) error { return nil }
func (noMapping) Get(*common.URL, mapping.MappingListener) (*gxset.HashSet, error) {
	return gxset.NewSet(), nil
}
func (noMapping) Remove(*common.URL) error { return nil }
