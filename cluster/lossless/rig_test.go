// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"github.com/dubbogo/gost/log/logger"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/self"
)

func TestMain(m *testing.M) {
	logger.SetLoggerLevel("error")
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/dubbogo/gost/time.(*TimerWheel).timerUpdate"),
		goleak.IgnoreAnyFunction("github.com/dubbogo/gost/time.(*TimerWheel).timerUpdate"),
		goleak.IgnoreAnyFunction("github.com/dubbogo/gost/time.NewTimerWheel.func1"),
		goleak.IgnoreAnyFunction("time.goFunc"), // a probe at its last dial
	)
}

const service = "com.shop.Order"

// node is a provider process of the test: what it answers, and what it was told.
type node struct {
	base.BaseInvoker
	e      *endpoint.Endpoint
	answer func(context.Context, base.Invocation) result.Result
	calls  atomic.Int64

	mu   sync.Mutex
	told []map[string]any // the attachments of each call
}

func (n *node) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	n.calls.Add(1)
	copied := map[string]any{}
	for _, k := range []string{tag.KeyCaller, tag.KeyPath, constant.TimeoutKey} {
		if v, ok := inv.GetAttachment(k); ok {
			copied[k] = v
		}
	}
	n.mu.Lock()
	n.told = append(n.told, copied)
	n.mu.Unlock()
	return n.answer(ctx, inv)
}

func (n *node) lastTold(t *testing.T) map[string]any {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.told) == 0 {
		t.Fatalf("%s was not called", n.e.Address)
	}
	return n.told[len(n.told)-1]
}

// rig is a reference over nodes: a directory and an endpoint.Source in one.
type rig struct {
	*Invoker
	url   *common.URL
	nodes []*node

	mu    sync.Mutex
	watch func()
	list  []*endpoint.Endpoint
}

func (r *rig) GetURL() *common.URL                 { return r.url }
func (r *rig) IsAvailable() bool                   { return true }
func (r *rig) List(base.Invocation) []base.Invoker { return nil }
func (r *rig) Subscribe(*common.URL) error         { return nil }
func (r *rig) Notify(any)                          {}
func (r *rig) Destroy()                            {}
func (r *rig) Endpoints() []*endpoint.Endpoint     { r.mu.Lock(); defer r.mu.Unlock(); return r.list }
func (r *rig) Watch(fn func()) (cancel func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watch = fn
	return func() {}
}

// set replaces the list, as a push of the registry does.
func (r *rig) set(nodes ...*node) {
	r.mu.Lock()
	r.list = nil
	for _, n := range nodes {
		r.list = append(r.list, n.e)
	}
	fn := r.watch
	r.mu.Unlock()
	if fn != nil {
		fn()
	}
	if r.Invoker != nil {
		r.view.refresh()
	}
}

var addresses atomic.Int64

func incarnationOf(n int64) string { return fmt.Sprintf("%016x", n) }

// newRig makes a reference over one node a tag; each answers well.
func newRig(t *testing.T, protocol string, tags ...string) *rig {
	t.Helper()
	r := &rig{}
	ref := common.NewURLWithOptions(common.WithProtocol(protocol), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(constant.TimeoutKey, "3s"))
	r.url = common.NewURLWithOptions(common.WithProtocol("registry"))
	r.url.SubURL = ref
	for _, tg := range tags {
		r.nodes = append(r.nodes, newNode(t, tg, ""))
	}
	r.set(r.nodes...)
	r.Invoker = New(r, r)
	t.Cleanup(r.view.close)
	return r
}

func newNode(t *testing.T, tg, address string) *node {
	t.Helper()
	id := addresses.Add(1)
	if address == "" {
		address = fmt.Sprintf("192.0.2.%d:%d", id%250, 20000+id/250)
	}
	n := &node{}
	inc := incarnationOf(id)
	i := endpoint.Shared.Acquire(address, inc, "order", endpoint.Birth{})
	t.Cleanup(func() { endpoint.Shared.Release(i) })
	n.e = &endpoint.Endpoint{Instance: i, Invoker: n, Tag: tg, Weight: 100, Caller: self.CallerTo("gateway", inc)}
	n.answer = ok
	return n
}

func ok(context.Context, base.Invocation) result.Result { return &result.RPCResult{Rest: "ok"} }

func fails(err error) func(context.Context, base.Invocation) result.Result {
	return func(context.Context, base.Invocation) result.Result { return &result.RPCResult{Err: err} }
}

// refuses answers as filter/shutdown does.
func (n *node) refuses(protocol, why string) {
	n.answer = fails(refusalOf(protocol, why, n.e.Incarnation))
}

func refusalOf(protocol, why, incarnation string) error {
	if protocol != constant.TriProtocol {
		return &hessian2.GenericException{ExceptionClass: tag.RefusedClass, ExceptionMessage: why}
	}
	err := triple_protocol.NewError(triple_protocol.CodeUnavailable, fmt.Errorf("graylane: not executed: %s", why))
	err.Meta().Set(tag.KeyRefused, why)
	if why == tag.RefusedClosing {
		err.Meta().Set(tag.KeyState, tag.StateClosing+";"+incarnation)
	}
	return err
}

// marks answers well, with a mark where the protocol carries it.
func (n *node) marks(protocol, state string) {
	n.answer = func(_ context.Context, inv base.Invocation) result.Result {
		res := &result.RPCResult{Rest: "ok"}
		if protocol == constant.TriProtocol {
			v, _ := inv.GetAttribute(constant.ResponseTrailerKey)
			*v.(*http.Header) = http.Header{"Graylane-State": {state}}
			return res
		}
		res.AddAttachment(tag.KeyState, state)
		return res
	}
}

func call1(method string, attachments map[string]any) *invocation.RPCInvocation {
	return invocation.NewRPCInvocationWithOptions(invocation.WithMethodName(method), invocation.WithAttachments(attachments))
}

func (r *rig) call(attachments map[string]any) error {
	return r.Invoke(context.Background(), call1("Place", attachments)).Error()
}

func wanting(tg string) map[string]any { return map[string]any{tag.KeyTag: tg} }

// total is what all nodes received.
func (r *rig) total() (n int64) {
	for _, node := range r.nodes {
		n += node.calls.Load()
	}
	return n
}

func settings(t *testing.T, change func(*conf.Config)) {
	t.Helper()
	old := *conf.Current()
	c := conf.Default()
	change(&c)
	conf.Set(c)
	t.Cleanup(func() { conf.Set(old) })
}

// books returns the ledger's line of a node.
func (n *node) books(t *testing.T) endpoint.Entry {
	t.Helper()
	for _, e := range endpoint.Shared.Ledger() {
		if e.Address == n.e.Address && e.Incarnation == n.e.Incarnation {
			return e
		}
	}
	t.Fatalf("%s is not in the ledger", n.e.Address)
	return endpoint.Entry{}
}

func (n *node) checkBooks(t *testing.T, sent, answered, refused, unknown, rerouted int64) {
	t.Helper()
	want := endpoint.Entry{
		Service: "order", Address: n.e.Address, Incarnation: n.e.Incarnation,
		Sent: sent, Answered: answered, Refused: refused, Unknown: unknown, Rerouted: rerouted,
	}
	if got := n.books(t); got != want {
		t.Errorf("books of %s: %+v, want %+v", n.e.Address, got, want)
	}
	if n.e.InFlight() != 0 {
		t.Errorf("%s: %d in flight", n.e.Address, n.e.InFlight())
	}
}

func contains(err error, words string) bool {
	return err != nil && strings.Contains(err.Error(), words)
}
