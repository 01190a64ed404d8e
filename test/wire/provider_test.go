// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// Handler is a service (exported, or dubbo-go refuses it).
type Handler struct {
	name string
	run  func(ctx context.Context, in string) (string, error)
}

// Reference names the service.
func (h *Handler) Reference() string { return h.name }

// Call is reached by reflection.
func (h *Handler) Call(ctx context.Context, in string) (string, error) { return h.run(ctx, in) }

// provider is a real server of one service.
type provider struct {
	kind
	name, addr string
	calls      atomic.Int64 // whose handler started
}

var services atomic.Int64

// serve starts a provider; it ends with the test binary.
func serve(t *testing.T, k kind, run func(ctx context.Context, in string) (string, error), opts ...server.ServiceOption) *provider {
	t.Helper()
	need.Long(t, "starts servers")
	k.unlessRacing(t)
	p := &provider{kind: k, name: fmt.Sprintf("graylane.wire%d", services.Add(1))}
	ins := must(instance())(t)
	names := []string{constant.TriProtocol} // always: left out it would listen on all addresses
	if k.protocol != constant.TriProtocol {
		names = append(names, k.protocol)
	}
	var protocols []server.ServerOption
	for _, name := range names {
		port := ports.Free()
		if name == k.protocol {
			p.addr = fmt.Sprintf("127.0.0.1:%d", port)
		}
		protocols = append(protocols, server.WithServerProtocol(protocol.WithProtocol(name), protocol.WithID(name), protocol.WithIp("127.0.0.1"), protocol.WithPort(port)))
	}
	srv := must(ins.NewServer(protocols...))(t)
	h := &Handler{p.name, func(ctx context.Context, in string) (string, error) {
		p.calls.Add(1)
		return run(ctx, in)
	}}
	opts = append([]server.ServiceOption{server.WithProtocolIDs([]string{k.protocol}), server.WithNotRegister()}, opts...)
	var err error
	switch {
	case k.how == "plain":
		err = srv.RegisterService(h, append(opts, server.WithSerialization(constant.Hessian2Serialization))...)
	case k.protocol == constant.DubboProtocol:
		err = srv.Register(h, info(p.name), append(opts, server.WithInterface(p.name), server.WithSerialization(constant.Hessian2Serialization))...)
	default:
		err = srv.Register(h, info(p.name), append(opts, server.WithInterface(p.name))...)
	}
	if err != nil {
		t.Fatal(err)
	}
	// dubbo-go exports its own services once a process; each server here wants them.
	eachOwn(names, func(name, protocol string) { _ = common.ServiceMap.UnRegister(name, protocol, name) })
	go func() {
		if err := srv.Serve(); err != nil {
			panic(err)
		}
	}()
	if err := ports.Await(p.addr, 20*time.Second); err != nil {
		t.Fatal(err)
	}
	eachOwn(names, func(name, protocol string) { // else they might come after the next server's
		for deadline := time.Now().Add(20 * time.Second); common.ServiceMap.GetService(protocol, name, "", "") == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no %s over %s", name, protocol)
			}
		}
	})
	return p
}

// eachOwn names the services that dubbo-go exports by itself.
func eachOwn(protocols []string, f func(name, protocol string)) {
	for _, name := range []string{"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} {
		for _, protocol := range protocols {
			f(name, protocol)
		}
	}
}

// info describes the handler as protoc's code would: by protobuf messages over
// Triple, by a string over dubbo.
func info(name string) *common.ServiceInfo {
	return &common.ServiceInfo{InterfaceName: name, Methods: []common.MethodInfo{
		{
			Name:        "Call",
			Type:        constant.CallUnary,
			ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
			MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
				if in, ok := args[0].(string); ok {
					return h.(*Handler).run(ctx, in)
				}
				out, err := h.(*Handler).run(ctx, args[0].(*wrapperspb.StringValue).GetValue())
				if err != nil {
					return nil, err
				}
				return triple_protocol.NewResponse(wrapperspb.String(out)), nil
			},
		},
		{
			Name:           "Stream",
			Type:           constant.CallBidiStream,
			StreamInitFunc: func(s any) any { return s },
			MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
				s := args[0].(*triple_protocol.BidiStream)
				for {
					in := new(wrapperspb.StringValue)
					if err := s.Receive(in); err != nil {
						return nil, nil
					}
					out, err := h.(*Handler).run(ctx, in.GetValue())
					if err != nil {
						return nil, err
					}
					if err := s.Send(wrapperspb.String(out)); err != nil {
						return nil, err
					}
				}
			},
		},
	}}
}
