// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	dubbologger "dubbo.apache.org/dubbo-go/v3/logger"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

const (
	service      = "com.shop.Order"
	method       = "get"
	registryName = "modes-registry"
)

// scripted says that a test's child or the table runs: real protocols else.
var scripted = os.Getenv(envChild) == ""

func init() {
	if !scripted {
		return
	}
	// The real protocols stay reachable for addresses that no script has.
	for _, name := range []string{constant.TriProtocol, constant.DubboProtocol} {
		original := extension.GetProtocol(name)
		extension.SetProtocol(name, func() base.Protocol { return &scriptedProtocol{original} })
	}
	extension.SetRegistry(registryName, func(u *common.URL) (registry.Registry, error) { return &memory{u: u}, nil })
}

// provider is a scripted provider: it listens, so that it can be reached, and
// answers as it is told.
type provider struct {
	url      *common.URL
	address  string
	answer   func(base.Invocation) result.Result
	attempts atomic.Int64 // calls that came
	executed atomic.Int64 // of those, handled
	referred atomic.Int64 // connections that were made
}

// ended counts the calls that any of them has answered.
var ended atomic.Int64

// scripts are all providers by address.
var scripts sync.Map

type scriptedProtocol struct{ base.Protocol }

func (p *scriptedProtocol) Refer(u *common.URL) base.Invoker {
	if s, ok := scripts.Load(u.Location); ok {
		s.(*provider).referred.Add(1)
		return &scriptedInvoker{base.NewBaseInvoker(u), s.(*provider)}
	}
	return p.Protocol.Refer(u)
}

type scriptedInvoker struct {
	*base.BaseInvoker
	p *provider
}

func (i *scriptedInvoker) Invoke(_ context.Context, inv base.Invocation) result.Result {
	i.p.attempts.Add(1)
	defer ended.Add(1)
	res := i.p.answer(inv)
	if res.Error() == nil {
		i.p.executed.Add(1)
	}
	return res
}

func good(base.Invocation) result.Result { return &result.RPCResult{} }

// refuses answers "not executed" as filter/shutdown does.
func refuses(protocol string) func(base.Invocation) result.Result {
	return func(base.Invocation) result.Result {
		if protocol == constant.DubboProtocol {
			return &result.RPCResult{Err: &hessian2.GenericException{ExceptionClass: tag.RefusedClass, ExceptionMessage: tag.RefusedNotReady}}
		}
		err := triple_protocol.NewError(triple_protocol.CodeUnavailable, fmt.Errorf("graylane: not executed: %s", tag.RefusedNotReady))
		err.Meta().Set(tag.KeyRefused, tag.RefusedNotReady)
		return &result.RPCResult{Err: err}
	}
}

// dead answers as an address where nobody listens.
func dead(base.Invocation) result.Result {
	return &result.RPCResult{Err: triple_protocol.NewError(triple_protocol.CodeUnavailable, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)})}
}

// says answers well, with a state in the answer.
func says(protocol, state string) func(base.Invocation) result.Result {
	return func(inv base.Invocation) result.Result {
		res := &result.RPCResult{}
		if protocol == constant.DubboProtocol {
			res.AddAttachment(tag.KeyState, state)
		} else if v, ok := inv.GetAttribute(constant.ResponseTrailerKey); ok {
			*v.(*http.Header) = http.Header{"Graylane-State": {state}}
		}
		return res
	}
}

var incarnations atomic.Int64

// newProvider starts a provider of a lane that has been ready for age, with a
// window of 10 minutes; params come in pairs.
func newProvider(t *testing.T, protocol, lane string, age time.Duration, params ...string) *provider {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	p := &provider{address: l.Addr().String(), answer: good}
	scripts.Store(p.address, p)
	t.Cleanup(func() { _ = l.Close(); <-done; scripts.Delete(p.address) })
	p.url, err = common.NewURL(fmt.Sprintf("%s://%s/%s", protocol, p.address, service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "order"),
		common.WithParamsValue(constant.Tagkey, lane),
		common.WithParamsValue(tag.MetaStartTime, strconv.FormatInt(time.Now().Add(-age).UnixMilli(), 10)),
		common.WithParamsValue(tag.MetaWarmupTime, "600000"),
		common.WithParamsValue(tag.MetaIncarnation, fmt.Sprintf("%016x", incarnations.Add(1))),
		common.WithMethods([]string{method}))
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(params); n += 2 {
		p.url.SetParam(params[n], params[n+1])
	}
	return p
}

func (p *provider) incarnation() string { return p.url.GetParam(tag.MetaIncarnation, "") }

// state lets a test see and say what the process knows of the instance: the table
// is shared by all references. Direct URLs name no incarnation.
func (p *provider) state(t *testing.T, known string) *endpoint.Instance {
	t.Helper()
	i := endpoint.Shared.Acquire(p.address, known, "order", endpoint.Birth{})
	t.Cleanup(func() { endpoint.Shared.Release(i) })
	return i
}

// memory is a registry in the process, at interface level. Its address names it;
// what it lists is in lists.
type memory struct{ u *common.URL }

var lists struct {
	sync.Mutex
	urls map[string][]*common.URL
	subs map[string][]subscriber

	applications map[string][]registry.ServiceInstancesChangedListener
}

// telling is held while subscribers hear of a list: nobody hears of an old one last.
var telling sync.Mutex

type subscriber struct {
	group string
	l     registry.NotifyListener
}

func (m *memory) GetURL() *common.URL                                  { return m.u }
func (*memory) IsAvailable() bool                                      { return true }
func (*memory) Destroy()                                               {}
func (*memory) Register(*common.URL) error                             { return nil }
func (*memory) UnRegister(*common.URL) error                           { return nil }
func (*memory) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }

// LoadSubscribeInstances tells the present list, so that the first call has it.
func (m *memory) LoadSubscribeInstances(u *common.URL, l registry.NotifyListener) error {
	telling.Lock()
	defer telling.Unlock()
	lists.Lock()
	urls := lists.urls[m.u.Location]
	lists.Unlock()
	subscriber{u.GetParam(constant.GroupKey, ""), l}.tell(urls)
	return nil
}

func (m *memory) Subscribe(u *common.URL, l registry.NotifyListener) error {
	s := subscriber{u.GetParam(constant.GroupKey, ""), l}
	telling.Lock()
	defer telling.Unlock()
	lists.Lock()
	if lists.subs == nil {
		lists.subs = make(map[string][]subscriber)
	}
	lists.subs[m.u.Location] = append(lists.subs[m.u.Location], s)
	urls := lists.urls[m.u.Location]
	lists.Unlock()
	s.tell(urls)
	return nil
}

// tell compares groups literally, but for "*", as ZooKeeper's and etcd's do.
func (s subscriber) tell(urls []*common.URL) {
	var events []*registry.ServiceEvent
	for _, u := range urls {
		if s.group == constant.AnyValue || s.group == u.GetParam(constant.GroupKey, "") {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
		}
	}
	s.l.NotifyAll(events, func() {})
}

// list sets what the registry at an address lists and pushes it.
func list(address string, providers ...*provider) {
	telling.Lock()
	defer telling.Unlock()
	lists.Lock()
	if lists.urls == nil {
		lists.urls = make(map[string][]*common.URL)
	}
	lists.urls[address] = nil
	for _, p := range providers {
		lists.urls[address] = append(lists.urls[address], p.url)
	}
	urls, subs, applications := lists.urls[address], lists.subs[address], lists.applications[address]
	lists.Unlock()
	for _, s := range subs {
		s.tell(urls)
	}
	for _, l := range applications {
		tellApplications(l, urls)
	}
	for _, l := range slices.Backward(applications) { // a registry promises no order
		tellApplications(l, urls)
	}
}

// tellApplications tells of the applications that a listener is there for.
func tellApplications(l registry.ServiceInstancesChangedListener, urls []*common.URL) {
	for _, app := range l.GetServiceNames().Values() {
		name := app.(string)
		_ = l.OnEvent(registry.NewServiceInstancesChangedEvent(name, instances(name, urls)))
	}
}

// instance is made once: a second one would replace the logger.
var instance = sync.OnceValues(func() (*dubbo.Instance, error) {
	return dubbo.NewInstance(dubbo.WithName("gateway"), dubbo.WithLogger(dubbologger.WithLevel("fatal")))
})

func newClient(t *testing.T) *client.Client {
	t.Helper()
	ins, err := instance()
	if err != nil {
		t.Fatal(err)
	}
	cli, err := ins.NewClient()
	if err != nil {
		t.Fatal(err)
	}
	return cli
}

// caller makes one call that wants a tag.
type caller func(ctx context.Context, attachments map[string]any) error

func dial(t *testing.T, options ...client.ReferenceOption) caller {
	t.Helper()
	conn, err := newClient(t).DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{method}}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, attachments map[string]any) error {
		return conn.CallUnary(context.WithValue(ctx, constant.AttachmentKey, attachments), []any{"req"}, new(string), method)
	}
}

// at is the option of a registry in the process, at interface level unless more
// says otherwise.
func at(address string, more ...registry.Option) client.ReferenceOption {
	return client.WithRegistry(append([]registry.Option{
		registry.WithRegistry(registryName), registry.WithID(address), registry.WithAddress(address),
		registry.WithRegisterInterface(), registry.WithoutUseAsConfigCenter(),
	}, more...)...)
}

func wanting(lane string) map[string]any { return map[string]any{tag.KeyTag: lane} }
