// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/rulecenter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
	_ "github.com/graylane/graylane/registry/etcd"
)

// patience bounds what another process takes.
const patience = 30 * time.Second

// spec says what a child process serves.
type spec struct {
	Name, Protocol, Group, Tag, Etcd string
	App                              string // default "order"
	Env                              string // params: {env: …}
	Port                             int
}

const realService = "graylane.modes.Real"

// Handler answers with its name (exported, or dubbo-go refuses it).
type Handler struct{ name string }

// Reference names the service.
func (*Handler) Reference() string { return realService }

// Call tells who serves.
func (h *Handler) Call(context.Context, string) (string, error) { return h.name, nil }

var realInfo = &common.ServiceInfo{InterfaceName: realService, Methods: []common.MethodInfo{{
	Name: "Call", Type: constant.CallUnary,
	ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
	MethodFunc: func(_ context.Context, _ []any, h any) (any, error) {
		return triple_protocol.NewResponse(wrapperspb.String(h.(*Handler).name)), nil
	},
}}}

func realRegistry(endpoint string) []registry.Option {
	return []registry.Option{registry.WithEtcdV3(), registry.WithAddress(endpoint), registry.WithRegisterServiceAndInterface(), registry.WithID("etcd")}
}

func runChild(what string) {
	check := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(3)
		}
	}
	var s spec
	check(json.Unmarshal([]byte(what), &s))
	ins, err := dubbo.NewInstance(dubbo.WithName(cmp.Or(s.App, "order")), dubbo.WithTag(s.Tag), dubbo.WithMetadataServicePort(ports.Free()), dubbo.WithRemoteMetadata(),
		dubbo.WithProtocol(protocol.WithProtocol(s.Protocol), protocol.WithID(s.Protocol), protocol.WithIp("127.0.0.1"), protocol.WithPort(s.Port)),
		dubbo.WithRegistry(realRegistry(s.Etcd)...))
	check(err)
	srv, err := ins.NewServer()
	check(err)
	options := []server.ServiceOption{server.WithInterface(realService), server.WithGroup(s.Group)}
	if s.Env != "" {
		options = append(options, server.WithParam("env", s.Env))
	}
	if s.Protocol == constant.TriProtocol {
		check(srv.Register(&Handler{s.Name}, realInfo, options...))
	} else {
		check(srv.RegisterService(&Handler{s.Name}, append(options, server.WithSerialization(constant.Hessian2Serialization))...))
	}
	check(srv.Serve())
	select {}
}

// children live until all tests are over: dubbo's client library races with itself
// when a connection that was used ends.
var children []*child.Process

func endChildren() {
	for _, p := range children {
		_, _ = p.Signal(syscall.SIGKILL)
		_ = os.RemoveAll(p.Dir)
	}
}

// serve starts a provider process and returns its address.
func serve(t *testing.T, s spec) (address string) {
	t.Helper()
	s.Port = ports.Free()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "modes") //nolint:usetesting // outlives the test: the child lives until all are over
	if err != nil {
		t.Fatal(err)
	}
	p, err := child.Start(dir, []string{os.Args[0]}, []string{envChild + "=" + string(text)}, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	children = append(children, p)
	t.Cleanup(func() {
		if t.Failed() {
			if out, err := os.ReadFile(dir + "/" + child.LogName); err == nil {
				t.Logf("%s:\n%s", s.Name, out[max(0, len(out)-2000):])
			}
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", s.Port)
}

// realCaller makes one call and returns who served it.
type realCaller func(attachments map[string]any) (string, error)

func dialReal(t *testing.T, protocol, endpoint string, options ...client.ReferenceOption) realCaller {
	t.Helper()
	options = append([]client.ReferenceOption{client.WithProtocol(protocol), client.WithRegistry(realRegistry(endpoint)...)}, options...)
	if protocol == constant.DubboProtocol {
		options = append(options, client.WithSerialization(constant.Hessian2Serialization))
	}
	conn, err := newClient(t).DialWithInfo(realService, &client.ClientInfo{InterfaceName: realService, MethodNames: []string{"Call"}}, options...)
	if err != nil {
		t.Fatal(err)
	}
	return func(attachments map[string]any) (string, error) {
		ctx := context.WithValue(context.Background(), constant.AttachmentKey, attachments)
		if protocol == constant.DubboProtocol {
			var out string
			err := conn.CallUnary(ctx, []any{""}, &out, "Call")
			return out, err
		}
		out := new(wrapperspb.StringValue)
		err := conn.CallUnary(ctx, []any{wrapperspb.String("")}, out, "Call")
		return out.GetValue(), err
	}
}

// servedBy calls until all of want have served or patience ends, and fails on
// anybody else. It returns the share of each.
func servedBy(t *testing.T, call realCaller, attachments map[string]any, want ...string) {
	t.Helper()
	seen := map[string]int{}
	var last error
	for deadline := time.Now().Add(patience); len(seen) < len(want) && time.Now().Before(deadline); {
		name, err := call(maps.Clone(attachments))
		if last = err; err != nil {
			time.Sleep(20 * time.Millisecond) // they are still coming: asked again, until patience ends
			continue
		}
		if !slices.Contains(want, name) {
			t.Fatalf("served by %s, want %v", name, want)
		}
		seen[name]++
	}
	if len(seen) < len(want) {
		t.Fatalf("served by %v only, want %v; last error %v", seen, want, last)
	}
}

// TestRegistryTypeAll: with a real etcd at both levels an instance counts once,
// keeps its tag and group, and is called as the group it is.
func TestRegistryTypeAll(t *testing.T) {
	need.Long(t, "starts processes")
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		t.Run(protocol, func(t *testing.T) {
			server, err := etcd.Start(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)
			processes := map[string][]string{}
			begin := func(name, group, lane string) {
				processes[serve(t, spec{Name: name, Protocol: protocol, Group: group, Tag: lane, Etcd: server.Endpoint()})] = nil
			}
			begin("base-1", "g1", "")
			begin("base-2", "g2", "")
			servedBy(t, dialReal(t, protocol, server.Endpoint(), client.WithGroup("*")), wanting(""), "base-1", "base-2")
			begin("gray-1", "g1", "gray") // not before the baseline: a fleet that is gray throughout serves everybody
			for _, groups := range []string{"*", "g1,g2"} {
				call := dialReal(t, protocol, server.Endpoint(), client.WithGroup(groups))
				servedBy(t, call, wanting(""), "base-1", "base-2")
				servedBy(t, call, map[string]any{tag.KeyTag: "gray", tag.KeyForce: "true"}, "gray-1")
				if name, err := call(map[string]any{tag.KeyTag: "blue", tag.KeyForce: "true"}); err == nil || !strings.Contains(err.Error(), "No provider available") {
					t.Errorf("groups %s: forced to a lane that is not there: %q, %v", groups, name, err)
				}
			}
			call := dialReal(t, protocol, server.Endpoint(), client.WithGroup("g1"))
			servedBy(t, call, wanting(""), "base-1")
			servedBy(t, call, wanting("gray"), "gray-1")
			for _, e := range endpoint.Shared.Ledger() {
				// A port may have been a scripted provider's; those count from 1.
				if known, ok := processes[e.Address]; ok && !strings.HasPrefix(e.Incarnation, "00000000") {
					processes[e.Address] = append(known, e.Incarnation)
				}
			}
			for address, incarnations := range processes {
				if len(incarnations) != 1 {
					t.Errorf("the process at %s is %q over both levels and all references", address, incarnations)
				}
			}
		})
	}
}

// TestParamsByRule: a rule that matches what the user gave a provider under params is
// followed at each level, with a real etcd.
func TestParamsByRule(t *testing.T) {
	need.Long(t, "starts processes")
	server, err := etcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	const app = "order-by-rule" // the rule stays: the other tests have none
	begin := func(name, env string) {
		serve(t, spec{Name: name, App: app, Protocol: constant.TriProtocol, Env: env, Etcd: server.Endpoint()})
	}
	begin("of-a", "a")
	begin("of-none", "")
	calls := map[string]realCaller{}
	for level, option := range map[string]registry.Option{"interface": registry.WithRegisterInterface(), "application": registry.WithRegisterService()} {
		calls[level] = dialReal(t, constant.TriProtocol, server.Endpoint(), client.WithRegistry(append(realRegistry(server.Endpoint()), option)...))
		servedBy(t, calls[level], wanting(""), "of-a", "of-none")
	}
	if err := rulecenter.Static([]*global.RouterConfig{{
		Scope: constant.RouterScopeApplication, Key: app,
		Tags: []global.Tag{{Name: "gray", Match: []*common.ParamMatch{{Key: "env", Value: common.StringMatch{Exact: "b"}}}}},
	}}); err != nil {
		t.Fatal(err)
	}
	begin("of-b", "b") // not before the baseline: a fleet that is gray throughout serves everybody
	for level, call := range calls {
		t.Run(level, func(t *testing.T) {
			servedBy(t, call, map[string]any{tag.KeyTag: "gray", tag.KeyForce: "true"}, "of-b")
			servedBy(t, call, wanting(""), "of-a", "of-none")
		})
	}
}
