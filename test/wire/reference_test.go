// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"fmt"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/internal/self"
)

// reference calls a service through cluster/lossless: a directory and an
// endpoint.Source in one. Its invokers are dubbo-go's own.
type reference struct {
	*lossless.Invoker
	kind
	url  *common.URL
	list []*endpoint.Endpoint
}

func (r *reference) GetURL() *common.URL                 { return r.url }
func (r *reference) IsAvailable() bool                   { return true }
func (r *reference) List(base.Invocation) []base.Invoker { return nil }
func (r *reference) Subscribe(*common.URL) error         { return nil }
func (r *reference) Notify(any)                          {}
func (r *reference) Destroy()                            {}
func (r *reference) Endpoints() []*endpoint.Endpoint     { return r.list }
func (r *reference) Watch(func()) (cancel func())        { return func() {} }

// unlessRacing skips what the race detector cannot look at: dubbo-go v3.3.2's client of
// the dubbo protocol races with itself when a connection closes while it is used
// (dubbo-getty session.go, stop) and when two answers come at once (remoting/getty
// listener.go, OnMessage). Over Triple the same tests run under it.
func (k kind) unlessRacing(t *testing.T) {
	t.Helper()
	if racing && k.protocol == constant.DubboProtocol {
		t.Skip("dubbo-go's getty client has data races of its own") //nolint:forbidigo // the part is there, and faulty: see above
	}
}

// refer makes the invoker of dubbo-go's protocol.
func (k kind) refer(t *testing.T, service, addr, timeout string) base.Invoker {
	t.Helper()
	k.unlessRacing(t)
	u := must(common.NewURL(fmt.Sprintf("%s://%s/%s", k.protocol, addr, service), common.WithInterface(service), common.WithMethods([]string{"Call", "Stream"}),
		common.WithParamsValue(constant.InterfaceKey, service), common.WithParamsValue(constant.TimeoutKey, timeout)))(t)
	switch {
	case k == kind{"tri", "idl"}:
		u.SetParam(constant.SerializationKey, constant.ProtobufSerialization)
		u.SetAttribute(constant.ClientInfoKey, "generated code")
	case k.protocol == "tri":
		u.SetParam(constant.SerializationKey, constant.Hessian2Serialization)
		u.SetParam(constant.IDLMode, constant.NONIDL) //nolint:staticcheck // v3.3.2 still reads it, and without it makes its old Triple invoker
	default:
		u.SetParam(constant.SerializationKey, constant.Hessian2Serialization)
	}
	i := extension.GetProtocol(k.protocol).Refer(u)
	if i == nil {
		t.Fatalf("no invoker for %s", addr)
	}
	return i
}

// lane makes an endpoint of an invoker, as registry/discovery does.
func lane(t *testing.T, i base.Invoker, incarnation string) *endpoint.Endpoint {
	t.Helper()
	inst := endpoint.Shared.Acquire(i.GetURL().Location, incarnation, "shop", endpoint.Birth{})
	t.Cleanup(func() { endpoint.Shared.Release(inst) })
	return &endpoint.Endpoint{Instance: inst, Invoker: i, Weight: 100, Caller: self.CallerTo("gateway", incarnation)}
}

// newReference calls the endpoints.
func newReference(t *testing.T, k kind, service, timeout string, list ...*endpoint.Endpoint) *reference {
	t.Helper()
	r := &reference{kind: k, list: list}
	ref := common.NewURLWithOptions(common.WithProtocol(k.protocol), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(constant.TimeoutKey, timeout))
	r.url = common.NewURLWithOptions(common.WithProtocol("registry"))
	r.url.SubURL = ref
	r.Invoker = lossless.New(r, r)
	t.Cleanup(r.Invoker.Destroy)
	return r
}

// call sends one call.
func (r *reference) call(ctx context.Context, in string) (string, error) {
	return r.callWith(ctx, in, map[string]any{})
}

// callWith sends one call with attachments.
func (r *reference) callWith(ctx context.Context, in string, attachments map[string]any) (string, error) {
	var req, out any = in, new(string)
	if r.kind == (kind{"tri", "idl"}) {
		req, out = wrapperspb.String(in), new(wrapperspb.StringValue)
	}
	inv := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Call"), invocation.WithArguments([]any{req}), invocation.WithReply(out),
		invocation.WithParameterRawValues([]any{req, out}), invocation.WithAttachments(attachments))
	inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
	err := r.Invoke(ctx, inv).Error()
	if m, ok := out.(*wrapperspb.StringValue); ok {
		return m.GetValue(), err
	}
	return *out.(*string), err
}

// books returns the ledger's line of an endpoint, without its name.
func books(e *endpoint.Endpoint) endpoint.Entry {
	for _, l := range endpoint.Shared.Ledger() {
		if l.Address == e.Address && l.Incarnation == e.Incarnation {
			return endpoint.Entry{Sent: l.Sent, Answered: l.Answered, Refused: l.Refused, Failed: l.Failed, Unknown: l.Unknown, Rerouted: l.Rerouted}
		}
	}
	return endpoint.Entry{}
}
