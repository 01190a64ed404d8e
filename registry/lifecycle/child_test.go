// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
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
	"dubbo.apache.org/dubbo-go/v3/server"
	gxset "github.com/dubbogo/gost/container/set"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// dubbo-go shuts down once a process, so each provider of these tests is one: the
// test binary itself, told what to be by this variable.
const childEnv = "GRAYLANE_LIFECYCLE_TEST_PROVIDER"

// provider says what a child process is.
type provider struct {
	Tri, Dubbo  int      // ports; 0: not served
	Registries  []string // addresses of the test registry: "<behaviour>:<port>"
	Application bool     // application level
	Require     bool
	Manual      bool
	Delay       time.Duration
	Timeout     time.Duration // of the registration
	Shutdown    conf.Shutdown
}

const (
	triService   = "graylane.lifecycle.Tri"
	dubboService = "graylane.lifecycle.Dubbo"
	testRegistry = "lifecycle-test"
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(childEnv); spec != "" {
		var p provider
		if err := json.Unmarshal([]byte(spec), &p); err != nil {
			panic(err)
		}
		p.run()
		return
	}
	os.Exit(m.Run())
}

// say is how a child talks to its test: one line on stdout.
func say(format string, args ...any) {
	_, err := fmt.Fprintf(os.Stdout, "SAY "+format+"\n", args...)
	check(err)
}

// throughUs is protocol "registry" as the package graylane has it.
type throughUs struct{ base.Protocol }

func (throughUs) Export(i base.Invoker) base.Exporter      { return Export(i) }
func (throughUs) GetRegistries() []registry.Registry       { return Registries() }
func (throughUs) UnregisterRegistries()                    { UnregisterRegistries() }
func (throughUs) PostProcessReferenceConfig(_ *common.URL) {}

func (throughUs) PostProcessServiceConfig(u *common.URL) {
	if strings.HasPrefix(u.Interface(), "graylane.") {
		u.SetParam(constant.ServiceFilterKey, shutdown.Name+",echo")
		DecorateService(u, "")
	} else {
		u.SetParam(constant.ServiceFilterKey, "echo")
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
	time.Sleep(d)
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

func check(err error) {
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
	c.Warmup.Window = 0
	if p.Application {
		c.Warmup.Window = 90 * time.Second
	}
	conf.Set(c)
	extension.SetProtocol(constant.RegistryProtocol, func() base.Protocol { return throughUs{} })
	extension.SetConfigPostProcessor("lifecycle-test", throughUs{})
	extension.SetRegistry(testRegistry, newFakeRegistry)
	extension.SetServiceDiscovery(testRegistry, newFakeDiscovery)
	extension.SetGlobalServiceNameMapping(func() mapping.ServiceNameMapping { return noMapping{} })
	InitShutdown()
	InstallSignals()
	OnStopped(func() { say("stopped") })
	say("incarnation %s", Incarnation())

	var opts []dubbo.InstanceOption
	opts = append(opts, dubbo.WithName("shop"), dubbo.WithTag("gray"), dubbo.WithMetadataServicePort(freePort()))
	for i, address := range p.Registries {
		level := []registry.Option{
			registry.WithRegistry(testRegistry), registry.WithID(fmt.Sprintf("r%d", i)), registry.WithAddress(address),
			registry.WithoutUseAsMetaReport(), registry.WithoutUseAsConfigCenter(),
		}
		if p.Application {
			level = append(level, registry.WithRegisterService())
		} else {
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
	check(err)
	srv, err := ins.NewServer()
	check(err)
	if p.Tri != 0 {
		check(srv.Register(&Handler{triService}, tripleInfo, server.WithInterface(triService), server.WithProtocolIDs([]string{"tri"})))
	}
	if p.Dubbo != 0 {
		check(srv.RegisterService(&Handler{dubboService}, server.WithInterface(dubboService), server.WithProtocolIDs([]string{"dubbo"}), server.WithSerialization(constant.Hessian2Serialization)))
	}
	if len(p.Registries) == 0 {
		MarkReady()
	}
	go func() {
		for !Ready() { // the probe polls, too
			time.Sleep(5 * time.Millisecond)
		}
		say("ready")
	}()
	if p.Manual {
		go func() {
			time.Sleep(500 * time.Millisecond)
			say("letting it register")
			check(Register(context.Background()))
		}()
	}
	check(srv.Serve())
	select {} // the signal handler ends the process
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
	say("register %s %s %s", r.url.Location, u.Service(), params(u))
	return nil
}

func (r *fakeRegistry) UnRegister(u *common.URL) error {
	if strings.HasPrefix(r.url.Location, "hangs:") {
		select {}
	}
	say("unregister %s %s", r.url.Location, u.Service())
	return nil
}

func (r *fakeRegistry) Subscribe(*common.URL, registry.NotifyListener) error   { return nil }
func (r *fakeRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }
func (r *fakeRegistry) LoadSubscribeInstances(*common.URL, registry.NotifyListener) error {
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
	check(err)
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
	return nil
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
