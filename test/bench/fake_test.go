// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	dubbologger "dubbo.apache.org/dubbo-go/v3/logger"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	_ "github.com/graylane/graylane/imports"
)

const (
	service      = "com.shop.Order"
	gray         = "gray"
	grayEvery    = 10 // one provider in ten is gray, the first among them
	registryName = "bench-registry"
)

// providers is what the registry lists.
var providers []*common.URL

// servedBy is set by the endpoint that takes a call while watched is.
var (
	watched  bool
	servedBy *common.URL
)

// install puts the fakes of a variant in place of Triple and of a registry.
func install(variant string) {
	extension.SetProtocol(constant.TriProtocol, func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
	extension.SetRegistry(registryName, func(u *common.URL) (registry.Registry, error) { return &fakeRegistry{u}, nil })
	if variant == floor {
		extension.SetProtocol(constant.RegistryProtocol, func() base.Protocol { return &floorProtocol{base.NewBaseProtocol()} })
	}
	if variant == graylane { // the imports of this binary bring them
		for name := range extension.GetRouterFactories() {
			if name != tagrouter.Name {
				extension.SetRouterFactory(name, func() router.PriorityRouterFactory { return noRouter{} })
			}
		}
	}
}

// noRouter stands for a router that nobody imported: a factory cannot be taken out.
type noRouter struct{}

func (noRouter) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) {
	return nil, errors.New("not imported")
}

type fakeProtocol struct{ base.BaseProtocol }

// Refer makes an invoker whose address, where Graylane looks before the first call,
// takes connections.
func (*fakeProtocol) Refer(u *common.URL) base.Invoker {
	u.Location = listening()
	return newInvoker(u)
}

// listening is an address of the loopback that takes connections and closes them.
var listening = sync.OnceValue(func() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() { // ends with the process
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
})

// fakeInvoker answers at once, with nothing.
type fakeInvoker struct{ *base.BaseInvoker }

func newInvoker(u *common.URL) base.Invoker { return &fakeInvoker{base.NewBaseInvoker(u)} }

func (i *fakeInvoker) Invoke(context.Context, base.Invocation) result.Result {
	if watched {
		servedBy = i.GetURL()
	}
	return &result.RPCResult{}
}

// fakeRegistry lists providers and never changes its mind.
type fakeRegistry struct{ u *common.URL }

func (r *fakeRegistry) GetURL() *common.URL                                  { return r.u }
func (*fakeRegistry) IsAvailable() bool                                      { return true }
func (*fakeRegistry) Destroy()                                               {}
func (*fakeRegistry) Register(*common.URL) error                             { return nil }
func (*fakeRegistry) UnRegister(*common.URL) error                           { return nil }
func (*fakeRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }
func (*fakeRegistry) Subscribe(*common.URL, registry.NotifyListener) error   { return nil }
func (*fakeRegistry) LoadSubscribeInstances(_ *common.URL, l registry.NotifyListener) error {
	events := make([]*registry.ServiceEvent, len(providers))
	for n, p := range providers {
		events[n] = &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: p.Clone()}
	}
	done := make(chan struct{})
	l.NotifyAll(events, func() { close(done) })
	<-done
	return nil
}

// providerURL is the n-th provider: warm since long, and naming its incarnation
// as those with Graylane do.
func providerURL(tb testing.TB, n int, started time.Time) *common.URL {
	tb.Helper()
	lane := ""
	if n%grayEvery == 0 {
		lane = gray
	}
	u, err := common.NewURL(fmt.Sprintf("tri://10.%d.%d.%d:20000/%s", n/62500, n/250%250, n%250, service),
		common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "order"),
		common.WithParamsValue(constant.Tagkey, lane),
		common.WithParamsValue(constant.TimestampKey, strconv.FormatInt(started.Unix(), 10)),
		common.WithParamsValue(constant.WarmupKey, "600"),
		common.WithParamsValue(tag.MetaStartTime, strconv.FormatInt(started.UnixMilli(), 10)),
		common.WithParamsValue(tag.MetaWarmupTime, "600000"),
		common.WithParamsValue(tag.MetaIncarnation, fmt.Sprintf("%016x", n+1)),
		common.WithMethods([]string{"get"}))
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

// instance is made once: a second one would replace the logger under goroutines
// that plain dubbo-go starts with every call.
var instance = sync.OnceValues(func() (*dubbo.Instance, error) {
	return dubbo.NewInstance(dubbo.WithName("gateway"), dubbo.WithLogger(dubbologger.WithLevel("error")),
		dubbo.WithRegistry(registry.WithRegistry(registryName), registry.WithAddress("bench"), registry.WithRegisterInterface()))
})

// dial returns a client's connection to n providers.
func dial(tb testing.TB, n int) *client.Connection {
	tb.Helper()
	providers = make([]*common.URL, n)
	for i := range providers {
		providers[i] = providerURL(tb, i, time.Now().Add(-time.Hour))
	}
	before := runtime.NumGoroutine()
	ins, err := instance()
	if err != nil {
		tb.Fatal(err)
	}
	cli, err := ins.NewClient()
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"get"}})
	if err != nil {
		tb.Fatal(err)
	}
	settle(tb, before)
	return conn
}

// settle waits until the endpoints of a new client are connected, for which
// Graylane has a goroutine each. Of those that a client keeps there are few.
func settle(tb testing.TB, before int) {
	tb.Helper()
	const kept = 50
	for deadline := time.Now().Add(2 * time.Minute); runtime.NumGoroutine() > before+kept; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%d goroutines, %d before the client", runtime.NumGoroutine(), before)
		}
	}
}
