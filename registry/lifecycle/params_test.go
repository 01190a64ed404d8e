// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"maps"
	"testing"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/server"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// seeing is a post-processor that notes the URL that dubbo-go is about to export and
// then ends the start.
type seeing struct {
	service string
	end     func()
	url     *common.URL
}

func (*seeing) PostProcessReferenceConfig(*common.URL) {}

func (s *seeing) PostProcessServiceConfig(u *common.URL) {
	if u.Interface() != s.service {
		return
	}
	s.url = u.Clone()
	u.SetParam(constant.ExportKey, "false")
	s.end()
}

// TestOwnParams: of all that a real service's URL has, its instance publishes what the
// user wrote and nothing else; the revision has no part in it.
func TestOwnParams(t *testing.T) {
	const service = "graylane.lifecycle.Params"
	ctx, cancel := context.WithCancel(t.Context())
	seen := &seeing{service: service, end: cancel}
	extension.SetConfigPostProcessor("params-test", seen)
	ins, err := dubbo.NewInstance(dubbo.WithName("order"), dubbo.WithTag("gray"), dubbo.WithRemoteMetadata(), dubbo.WithMetadataServicePort(ports.Free()),
		dubbo.WithProtocol(protocol.WithTriple(), protocol.WithPort(ports.Free())))
	if err != nil {
		t.Fatal(err)
	}
	srv, err := ins.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.RegisterService(&Handler{name: service}, server.WithInterface(service), server.WithGroup("g"), server.WithVersion("1"),
		server.WithParam("env", "b"), server.WithParam("zone", "z1"), server.WithParam(constant.TimeoutKey, "3000")); err != nil {
		t.Fatal(err)
	}
	if err := srv.ServeContext(ctx); err == nil || seen.url == nil {
		t.Fatalf("the start was not ended: %v, URL %v", err, seen.url)
	}
	DecorateService(seen.url, "")
	seen.url.SetParam(constant.RegistryKey, "etcdv3")
	if got, want := ownParams([]*common.URL{seen.url}), map[string]string{"env": "b", "zone": "z1"}; !maps.Equal(got, want) {
		t.Errorf("of %s: %v, want %v", seen.url, got, want)
	}
	bare := seen.url.Clone()
	bare.DelParam("env")
	bare.DelParam("zone")
	if got := ownParams([]*common.URL{bare}); len(got) != 0 {
		t.Errorf("a program without params publishes %v", got)
	}
	revision := func(u *common.URL) string {
		return info.CalRevision("order", map[string]*info.ServiceInfo{"": info.NewServiceInfoWithURL(u)})
	}
	if revision(bare) != revision(seen.url) {
		t.Error("params change the revision")
	}
}

// TestInstanceParams: the instance publishes what its services agree in; what is ours
// is not the user's to change; what a service took with it is not published on.
func TestInstanceParams(t *testing.T) {
	of := func(path string, params ...string) *common.URL {
		u := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath(path), common.WithInterface(path))
		for n := 0; n < len(params); n += 2 {
			u.SetParam(params[n], params[n+1])
		}
		return u
	}
	c := conf.Default()
	m := newManager(shutdown.NewGate("0123456789abcdef"), func() *conf.Config { return &c })
	a, b := of("shop.A", "env", "b", "zone", "z1", "StartTime", "7"), of("shop.B", "env", "b", "zone", "z2", "rack", "r")
	services := info.NewMetadataInfo("order", "")
	services.AddService(a)
	services.AddService(b)
	instance := &registry.DefaultServiceInstance{Metadata: map[string]string{}, ServiceMetadata: services}
	check := func(i *registry.DefaultServiceInstance, want map[string]string) {
		t.Helper()
		customizer{m}.Customize(i)
		for k, v := range want {
			if got := i.Metadata[k]; got != v {
				t.Errorf("%s = %q, want %q", k, got, v)
			}
		}
		if i.Metadata["StartTime"] == "7" {
			t.Error("a service's parameter replaced the instance's start time")
		}
	}
	check(instance, map[string]string{"env": "b", "zone": "", "rack": "r"})
	services.RemoveService(b)
	next, ok := anew(instance, b).(*registry.DefaultServiceInstance)
	if !ok {
		t.Fatal("no instance")
	}
	check(next, map[string]string{"env": "b", "zone": "z1", "rack": ""})
}
