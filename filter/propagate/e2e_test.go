// SPDX-License-Identifier: Apache-2.0

package propagate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	clusterbase "dubbo.apache.org/dubbo-go/v3/cluster/cluster/base"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/filter/accesslog"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	_ "dubbo.apache.org/dubbo-go/v3/filter/exec_limit"
	_ "dubbo.apache.org/dubbo-go/v3/filter/generic"
	_ "dubbo.apache.org/dubbo-go/v3/filter/graceful_shutdown"
	_ "dubbo.apache.org/dubbo-go/v3/filter/token"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	_ "dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/filter/propagate"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// The chain of these tests is A (the test) -> B -> C. Every service is served
// over Triple and over dubbo, with generated-style ServiceInfo ("idl": protobuf
// on Triple, hessian2 on dubbo) and by reflection ("plain": hessian2).
const (
	filters = "echo," + propagate.Name
	groupB  = "g1"
	version = "1.2.3"
)

// order is what A asks of B.
type order struct {
	Proto, Kind string // of the call B -> C
	How         string // "pass" its context on, "later" from a goroutine, "lane:x", "fail", "fresh"
}

// seen is what C saw.
type seen struct {
	Tag         string
	Attachments map[string]any
}

// Handler is both services (exported, or dubbo-go refuses it); the transports reach it by different methods.
type Handler struct {
	name string
	run  func(ctx context.Context, in string) (string, error)
}

func (h *Handler) Reference() string { return h.name }

// Call is reached by reflection.
func (h *Handler) Call(ctx context.Context, in string) (string, error) { return h.run(ctx, in) }

// protobufInfo describes the handler as protoc's code would.
func protobufInfo(name string) *common.ServiceInfo {
	return &common.ServiceInfo{InterfaceName: name, Methods: []common.MethodInfo{{
		Name:        "Call",
		Type:        constant.CallUnary,
		ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
		MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
			out, err := h.(*Handler).run(ctx, args[0].(*wrapperspb.StringValue).GetValue())
			if err != nil {
				return nil, err
			}
			return triple_protocol.NewResponse(wrapperspb.String(out)), nil
		},
	}}}
}

// asking stands in for cluster/lossless: a cluster that asks for the way and
// states a reason, inside the interceptors.
type asking struct{ clusterbase.BaseClusterInvoker }

type askingCluster struct{}

func (askingCluster) Join(d directory.Directory) base.Invoker {
	return cluster.BuildInterceptorChain(&asking{clusterbase.NewBaseClusterInvoker(d)})
}

func (a *asking) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	if tag.PathFrom(ctx) != nil {
		inv.SetAttachment(tag.KeyPath, "1;closing")
	}
	return a.Directory.List(inv)[0].Invoke(ctx, inv)
}

// remote calls one service in one of the four ways.
type remote func(ctx context.Context, in string, opts ...client.CallOption) (string, error)

type site struct {
	ins   *dubbo.Instance
	proto map[string]string // protocol -> host:port
}

// run counts the runs of the test in this process: dubbo-go keeps services for good.
var run atomic.Int32

func name(base, proto, kind string) string {
	return fmt.Sprintf("graylane.test%d.%s.%s.%s", run.Load(), base, proto, kind)
}

// instances makes the applications once, before any of them runs: dubbo-go sets
// its global loggers with each, which is a race with whatever logs.
var instances = sync.OnceValues(func() (map[string]*dubbo.Instance, error) {
	apps := map[string]*dubbo.Instance{}
	for app, lane := range map[string]string{"gateway": "", "user": "gray", "cart": ""} {
		var err error
		if apps[app], err = dubbo.NewInstance(dubbo.WithName(app), dubbo.WithTag(lane), dubbo.WithMetadataServicePort(ports.Free())); err != nil {
			return nil, err
		}
	}
	return apps, nil
})

// serve starts one application with its four services.
func serve(t *testing.T, base string, s *site, handle func(context.Context, string) (string, error), opts ...server.ServiceOption) {
	t.Helper()
	s.proto = map[string]string{}
	var protos []server.ServerOption
	for _, p := range []string{"tri", "dubbo"} {
		port := ports.Free()
		s.proto[p] = fmt.Sprintf("127.0.0.1:%d", port)
		protos = append(protos, server.WithServerProtocol(protocol.WithProtocol(p), protocol.WithID(p), protocol.WithIp("127.0.0.1"), protocol.WithPort(port)))
	}
	srv, err := s.ins.NewServer(protos...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"tri", "dubbo"} {
		common := append([]server.ServiceOption{server.WithFilter(filters), server.WithProtocolIDs([]string{p}), server.WithNotRegister()}, opts...)
		idl := &Handler{name(base, p, "idl"), handle}
		info := protobufInfo(idl.name)
		with := append([]server.ServiceOption{server.WithInterface(idl.name)}, common...)
		if p == "dubbo" {
			with = append(with, server.WithSerialization(constant.Hessian2Serialization))
		}
		if err := srv.Register(idl, info, with...); err != nil {
			t.Fatal(err)
		}
		plain := &Handler{name(base, p, "plain"), handle}
		if err := srv.RegisterService(plain, append(common, server.WithSerialization(constant.Hessian2Serialization))...); err != nil {
			t.Fatal(err)
		}
	}
	go func() { // ends with the test binary
		if err := srv.Serve(); err != nil {
			panic(err)
		}
	}()
	for _, addr := range s.proto {
		if err := ports.Await(addr, 20*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// stub is the client side of a service that is called by reflection.
type stub struct {
	Call func(ctx context.Context, in string) (string, error)
	name string
}

func (s *stub) Reference() string { return s.name }

func dial(t *testing.T, ins *dubbo.Instance, base, proto, kind, addr string, opts ...client.ReferenceOption) remote {
	t.Helper()
	cli := must(ins.NewClient())(t) // not shared: its references overwrite each other's options
	n := name(base, proto, kind)
	opts = append([]client.ReferenceOption{client.WithURL(proto + "://" + addr), client.WithProtocol(proto), client.WithInterface(n), client.WithCluster("test-asking")}, opts...)
	if kind == "idl" && proto == "tri" {
		conn := must(cli.DialWithInfo(n, &client.ClientInfo{InterfaceName: n, MethodNames: []string{"Call"}}, opts...))(t)
		return func(ctx context.Context, in string, o ...client.CallOption) (string, error) {
			out := new(wrapperspb.StringValue)
			err := conn.CallUnary(ctx, []any{wrapperspb.String(in)}, out, "Call", o...)
			return out.GetValue(), err
		}
	}
	opts = append(opts, client.WithSerialization(constant.Hessian2Serialization))
	var conn *client.Connection
	switch {
	case kind == "idl":
		conn = must(cli.DialWithInfo(n, &client.ClientInfo{InterfaceName: n, MethodNames: []string{"Call"}}, opts...))(t)
	case proto == "dubbo": // the proxy, as its users have it
		s := &stub{name: n}
		must(cli.NewService(s, opts...))(t)
		return func(ctx context.Context, in string, _ ...client.CallOption) (string, error) { return s.Call(ctx, in) }
	default:
		conn = must(cli.NewService(&stub{name: n}, opts...))(t)
	}
	return func(ctx context.Context, in string, o ...client.CallOption) (string, error) {
		var out string
		err := conn.CallUnary(ctx, []any{in}, &out, "Call", o...)
		return out, err
	}
}

var kinds = [][2]string{{"tri", "idl"}, {"tri", "plain"}, {"dubbo", "idl"}, {"dubbo", "plain"}}

func TestEndToEnd(t *testing.T) {
	need.Long(t, "starts servers")
	extension.SetCluster("test-asking", func() cluster.Cluster { return askingCluster{} })
	setKeys(t, "x-user", "x-tenant")
	run.Add(1)
	apps := must(instances())(t)
	gateway := apps["gateway"]
	b, c := &site{ins: apps["user"]}, &site{ins: apps["cart"]}

	serve(t, "C", c, func(ctx context.Context, in string) (string, error) {
		if in == "fail" {
			e := triple_protocol.NewError(triple_protocol.CodeBizError, errors.New("no such cart"))
			return "", e
		}
		m, _ := ctx.Value(constant.AttachmentKey).(map[string]any)
		out, err := json.Marshal(seen{tag.FromContext(ctx).String(), m})
		return string(out), err
	})
	toC := map[[2]string]remote{}
	for _, k := range kinds {
		toC[k] = dial(t, gateway, "C", k[0], k[1], c.proto[k[0]], client.WithRequestTimeout(2900*time.Millisecond))
	}

	answered := make(chan struct{})
	late := make(chan string, 1)
	serve(t, "B", b, func(ctx context.Context, in string) (string, error) {
		var o order
		if err := json.Unmarshal([]byte(in), &o); err != nil {
			return "", err
		}
		call := toC[[2]string{o.Proto, o.Kind}]
		switch {
		case o.How == "fail":
			return call(ctx, "fail")
		case o.How == "fresh":
			return call(context.WithValue(ctx, constant.AttachmentKey, map[string]any{"x-own": "1"}), "")
		case o.How == "later":
			kept := context.WithoutCancel(ctx)
			go func() {
				<-answered
				out, err := call(kept, "")
				if err != nil {
					out = err.Error()
				}
				late <- out
			}()
			return "", nil
		case strings.HasPrefix(o.How, "lane:"):
			ctx = tag.NewContext(ctx, tag.Tag(o.How[len("lane:"):]))
		}
		return call(ctx, "")
	}, server.WithGroup(groupB), server.WithVersion(version))
	toB := map[[2]string]remote{}
	for _, k := range kinds {
		toB[k] = dial(t, gateway, "B", k[0], k[1], b.proto[k[0]], client.WithGroup(groupB), client.WithVersion(version), client.WithRequestTimeout(4100*time.Millisecond))
	}

	for _, in := range kinds {
		for _, out := range kinds {
			t.Run(strings.Join(in[:], "-")+"-to-"+strings.Join(out[:], "-"), func(t *testing.T) {
				ask := func(ctx context.Context, how string) (seen, error) {
					t.Helper()
					req, err := json.Marshal(order{out[0], out[1], how})
					if err != nil {
						t.Fatal(err)
					}
					ctx = context.WithValue(ctx, constant.AttachmentKey, map[string]any{"x-user": "7", "x-plain": "p", tag.KeyForce: "true"})
					got, err := toB[in](ctx, string(req), client.WithCallRetries(5))
					var s seen
					if how == "later" && err == nil {
						answered <- struct{}{}
						got = <-late
					}
					if err == nil {
						if e := json.Unmarshal([]byte(got), &s); e != nil {
							t.Fatalf("C's answer: %v: %s", e, got)
						}
					}
					return s, err
				}
				gray, path := tag.WithPath(tag.NewContext(context.Background(), "gray"))

				for _, how := range []string{"pass", "later"} {
					s, err := ask(gray, how)
					if err != nil {
						t.Fatal(err)
					}
					wantAtC(t, s, out[0], "gray", how == "pass")
				}
				if got, want := path.String(), "user(gray) > cart(base: closing), user(gray)"; got != want { // the second answered before it called
					t.Errorf("way = %q, want %q", got, want)
				}

				s, err := ask(context.Background(), "pass")
				if err != nil {
					t.Fatal(err)
				}
				wantAtC(t, s, out[0], "", true)

				if s, err = ask(gray, "lane:blue|x"); err != nil {
					t.Fatal(err)
				}
				wantAtC(t, s, out[0], "blue|x", true)
				if s, err = ask(gray, "lane:"); err != nil {
					t.Fatal(err)
				}
				wantAtC(t, s, out[0], "", true)

				if s, err = ask(gray, "fresh"); err != nil {
					t.Fatal(err)
				}
				wantAtC(t, s, out[0], "gray", false)
				if got, _ := tag.Value(s.Attachments["x-own"]); got != "1" {
					t.Errorf("x-own = %v, want 1", s.Attachments["x-own"])
				}

				failed, way := tag.WithPath(gray)
				if _, err = ask(failed, "fail"); err == nil {
					t.Fatal("a failing C answered")
				}
				want := "" // errors of dubbo carry no attachments
				switch {
				case in[0] == "tri" && out[0] == "tri":
					want = "user(gray) > cart(base: closing)"
				case in[0] == "tri":
					want = "user(gray)"
				}
				if way.String() != want {
					t.Errorf("way of a failed call = %q, want %q", way, want)
				}
			})
		}
	}
}

// wantAtC checks what the second hop brought.
func wantAtC(t *testing.T, s seen, proto, wantTag string, passed bool) {
	t.Helper()
	str := func(key string) string {
		v, ok := tag.Value(s.Attachments[key])
		if l, isList := s.Attachments[key].([]any); isList && len(l) > 1 {
			t.Errorf("%s = %v, want one value", key, l)
		}
		if _, isString := s.Attachments[key].(string); ok && proto == "dubbo" && !isString && (strings.HasPrefix(key, "x-u") || strings.Contains(key, "tag")) {
			t.Errorf("%s = %T over dubbo, want a string", key, s.Attachments[key])
		}
		return v
	}
	if s.Tag != wantTag || str(tag.KeyTag) != wantTag || str(tag.KeyShadow) != wantTag {
		t.Errorf("tag = %q, %s = %q, %s = %q, want %q", s.Tag, tag.KeyTag, str(tag.KeyTag), tag.KeyShadow, str(tag.KeyShadow), wantTag)
	}
	if got := str("x-user"); got != "7" {
		t.Errorf("x-user = %q, want 7", got)
	}
	if got := str("x-plain"); passed && got != "p" {
		t.Errorf("x-plain = %q, want p: dubbo-go passes it on", got)
	}
	for key := range s.Attachments {
		if key != strings.ToLower(key) {
			t.Errorf("key %q is not lower case", key)
		}
	}
	for _, key := range []string{"group", "version", "tri-service-group", "tri-service-version", tag.KeyForce, tag.KeyCaller} {
		if got := str(key); got != "" && got != "0.0.0" { // 0.0.0: dubbo's own for "none"
			t.Errorf("%s = %q, want none", key, got)
		}
	}
	for _, key := range []string{"path", "interface"} {
		if got := str(key); got != "" && !strings.Contains(got, ".C.") {
			t.Errorf("%s = %q, want C's own or none", key, got)
		}
	}
	if got := str("retries"); got == "5" {
		t.Errorf("retries = %q: A's", got)
	}
	if got := str("timeout"); strings.HasPrefix(got, "4100") || strings.HasPrefix(got, "4.1") {
		t.Errorf("timeout = %q: A's", got)
	}
	if proto == "dubbo" {
		for key := range s.Attachments {
			if strings.HasPrefix(key, "grpc-") || key == "user-agent" || key == "te" || key == "content-type" || key == "accept-encoding" {
				t.Errorf("%s = %v came over dubbo", key, s.Attachments[key])
			}
		}
	} else {
		for key := range s.Attachments {
			if strings.HasSuffix(key, "-addr") || key == "dubbo" {
				t.Errorf("%s = %v came over Triple", key, s.Attachments[key])
			}
		}
	}
}

func setKeys(t *testing.T, keys ...string) {
	t.Helper()
	old := *conf.Current()
	c := old
	c.Propagate.Keys = keys
	conf.Set(c)
	t.Cleanup(func() { conf.Set(old) })
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
