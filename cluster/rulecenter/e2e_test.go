// SPDX-License-Identifier: Apache-2.0

package rulecenter_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/server"
	"github.com/dubbogo/go-zookeeper/zk"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/rulecenter"
	"github.com/graylane/graylane/filter/tag"
	_ "github.com/graylane/graylane/imports"
	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// dubbo-go has one config centre a process, so each provider and consumer of these
// tests is a process: the test binary itself, told what to be by this variable.
const roleEnv = "GRAYLANE_RULECENTER_TEST_ROLE"

const (
	service  = "com.shop.Order"
	patience = 60 * time.Second
)

// role says what a child process is.
type role struct {
	Provider int    // the port that a provider serves; 0: a consumer
	App, Tag string // of a provider
	Protocol string
	Registry string // etcd's address, or nacos://address
	Conf     string // a consumer's dubbogo.yml
	Second   string // the tag of its second reference, "" for none
}

func TestMain(m *testing.M) {
	if spec := os.Getenv(roleEnv); spec != "" {
		var r role
		must(json.Unmarshal([]byte(spec), &r))
		if r.Provider != 0 {
			r.provide()
		}
		r.consume()
		return
	}
	os.Exit(m.Run())
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
}

// Handler answers with the port that it is served on (exported, or dubbo-go refuses it).
type Handler struct{ port int }

func (h *Handler) Reference() string { return "Order" }

// Get is for dubbo-go's check of the type: calls come by serviceInfo.
func (h *Handler) Get(context.Context, string) (string, error) { return strconv.Itoa(h.port), nil }

var serviceInfo = &common.ServiceInfo{InterfaceName: service, Methods: []common.MethodInfo{{
	Name: "Get", Type: constant.CallUnary,
	ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
	MethodFunc: func(ctx context.Context, _ []any, h any) (any, error) {
		port, err := h.(*Handler).Get(ctx, "")
		return triple_protocol.NewResponse(wrapperspb.String(port)), err
	},
}}}

func registryOf(at string) (kind, address string) {
	if address, nacos := strings.CutPrefix(at, "nacos://"); nacos {
		return "nacos", address
	}
	return "etcdv3", at
}

func (r role) registry() []registry.Option {
	kind, address := registryOf(r.Registry)
	return []registry.Option{registry.WithRegistry(kind), registry.WithAddress(address), registry.WithRegisterService()}
}

func (r role) provide() {
	ins, err := dubbo.NewInstance(
		dubbo.WithName(r.App), dubbo.WithTag(r.Tag), dubbo.WithMetadataServicePort(ports.Free()), dubbo.WithRegistry(r.registry()...),
		dubbo.WithProtocol(protocol.WithProtocol(r.Protocol), protocol.WithID(r.Protocol), protocol.WithIp("127.0.0.1"), protocol.WithPort(r.Provider)),
	)
	must(err)
	srv, err := ins.NewServer()
	must(err)
	if r.Protocol == constant.DubboProtocol {
		must(srv.RegisterService(&Handler{r.Provider}, server.WithInterface(service), server.WithSerialization(constant.Hessian2Serialization)))
	} else {
		must(srv.Register(&Handler{r.Provider}, serviceInfo, server.WithInterface(service)))
	}
	must(srv.Serve())
	select {}
}

// consumer is what dubbo.Load connects.
type consumer struct {
	conn     *client.Connection
	protocol string
}

// consume calls with the tag gray and without tag, in turn, and says who answers
// whenever that has changed. The second reference has a tag of its own.
func (r role) consume() {
	c := &consumer{protocol: r.Protocol}
	info := &client.ClientInfo{
		InterfaceName: service, MethodNames: []string{"Get"},
		ConnectionInjectFunc: func(to any, conn *client.Connection) { to.(*consumer).conn = conn },
	}
	dubbo.SetConsumerServiceWithInfo(c, info)
	must(dubbo.Load(dubbo.WithPath(r.Conf)))
	second := &consumer{protocol: r.Protocol}
	if r.Second != "" {
		cli, err := client.NewClient()
		must(err)
		second.conn, err = cli.DialWithInfo(service, info, client.WithProtocol(r.Protocol), client.WithSerialization(serialization(r.Protocol)),
			client.WithRegistry(r.registry()...), client.WithParams(map[string]string{tag.KeyTag: r.Second}))
		must(err)
	}
	say("loaded")
	gray := tag.NewContext(context.Background(), "gray")
	for last, same := "", 0; ; same++ {
		now := fmt.Sprintf("gray %s base %s", c.answers(gray), c.answers(context.Background()))
		if r.Second != "" {
			now += fmt.Sprintf(" %s %s", r.Second, second.answers(context.Background()))
		}
		switch {
		case now != last:
			say("%s rules %d", now, rulecenter.ReadStats().Good)
			if last, same = now, 0; strings.Contains(now, "none") {
				time.Sleep(20 * time.Millisecond) // the pause of a poll; the test has the bound
			}
		case same%5 == 0:
			say(unchanged)
		}
	}
}

// unchanged is what a consumer says when five times in a row the same ones answered.
const unchanged = "unchanged"

func serialization(protocol string) string {
	if protocol == constant.DubboProtocol {
		return constant.Hessian2Serialization
	}
	return constant.ProtobufSerialization
}

// answers returns the ports that answer 12 calls: of two that share the calls, one
// is missed in one of two thousand times.
func (c *consumer) answers(ctx context.Context) string {
	seen := map[string]bool{}
	for range 12 {
		port, err := c.get(ctx)
		if err != nil {
			say("failed: %v", err)
			time.Sleep(100 * time.Millisecond) // asked again until the test has seen enough
			return "none"
		}
		seen[port] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ",")
}

func (c *consumer) get(ctx context.Context) (port string, err error) {
	if c.protocol == constant.DubboProtocol {
		err = c.conn.CallUnary(ctx, []any{""}, &port, "Get")
		return port, err
	}
	out := new(wrapperspb.StringValue)
	err = c.conn.CallUnary(ctx, []any{wrapperspb.String("")}, out, "Get")
	return out.GetValue(), err
}

// say is how a child talks to its test.
func say(format string, args ...any) {
	_, err := fmt.Fprintf(os.Stdout, "SAY "+format+"\n", args...)
	must(err)
}

// process is a child and what it says.
type process struct {
	t     *testing.T
	child *child.Process
	lines chan string
}

func start(t *testing.T, r role, env ...string) *process {
	t.Helper()
	spec, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{t: t, lines: make(chan string, 10000)}
	p.child, err = child.Start(t.TempDir(), []string{os.Args[0]}, append(env, roleEnv+"="+string(spec)), func(l string) { p.lines <- l })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.child.Kill()
		if t.Failed() {
			out, _ := os.ReadFile(filepath.Join(p.child.Dir, child.LogName))
			t.Logf("output of %s:\n%s", spec, out[max(0, len(out)-5000):])
		}
	})
	return p
}

// await returns the first line that holds text. Lines before it are gone.
func (p *process) await(text string) string {
	p.t.Helper()
	return p.awaitAll(text)
}

// awaitAll waits for lines that hold these texts, in any order, and returns the last.
func (p *process) awaitAll(texts ...string) string {
	p.t.Helper()
	late := time.After(patience)
	var all []string
	for {
		select {
		case line := <-p.lines:
			texts = slices.DeleteFunc(texts, func(text string) bool { return strings.Contains(line, text) })
			if len(texts) == 0 {
				return line
			}
			all = append(all, line)
		case <-late:
			p.t.Fatalf("no %q within %v; the last lines:\n%s", texts, patience, strings.Join(all[max(0, len(all)-20):], "\n"))
		}
	}
}

// world is two providers of one application on a registry.
type world struct {
	registry *etcd.Server // nil where the registry is
	nacos    string       // its address
	protocol string
	a, b     int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return (&world{registry: startEtcd(t)}).start(t)
}

// start starts the providers, over Triple.
func (w *world) start(t *testing.T) *world {
	t.Helper()
	w.protocol, w.a, w.b = constant.TriProtocol, ports.Free(), ports.Free()
	if strconv.Itoa(w.a) > strconv.Itoa(w.b) {
		w.a, w.b = w.b, w.a
	}
	for _, port := range []int{w.a, w.b} {
		start(t, role{Provider: port, App: "order", Protocol: w.protocol, Registry: w.at()})
	}
	return w
}

// at is the registry as roles name it.
func (w *world) at() string {
	if w.nacos != "" {
		return "nacos://" + w.nacos
	}
	return w.registry.Endpoint()
}

func startEtcd(t *testing.T) *etcd.Server {
	t.Helper()
	s, err := etcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// consumer starts one with these further lines of dubbogo.yml.
func (w *world) consumer(t *testing.T, more string, env ...string) *process {
	t.Helper()
	return start(t, role{Protocol: w.protocol, Conf: w.conf(t, more)}, env...)
}

// conf writes a consumer's dubbogo.yml.
func (w *world) conf(t *testing.T, more string) string {
	t.Helper()
	conf := filepath.Join(t.TempDir(), "dubbogo.yml")
	kind, address := registryOf(w.at())
	text := fmt.Sprintf(`dubbo:
  application: { name: web, metadata-service-port: "%d" }
  registries: { main: { protocol: %s, address: "%s", registry-type: service } }
  protocols: { tri: { name: tri, ip: 127.0.0.1, port: "%d" } }
  consumer:
    request-timeout: 5s
    check: false
    references: { consumer: { interface: %s, protocol: %s, serialization: %s, retries: "0" } }
%s`, ports.Free(), kind, address, ports.Free(), service, w.protocol, serialization(w.protocol), more)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return conf
}

// all is what a consumer says when there is no rule, lane when b is the lane gray.
func (w *world) all() string  { return fmt.Sprintf("gray %d,%d base %d,%d", w.a, w.b, w.a, w.b) }
func (w *world) lane() string { return fmt.Sprintf("gray %d base %d", w.b, w.a) }

// rule makes b the lane gray.
func (w *world) rule() string {
	return fmt.Sprintf("configVersion: v3.0\nforce: false\nenabled: true\nkey: order\ntags:\n  - name: gray\n    addresses: [\"127.0.0.1:%d\"]\n", w.b)
}

// write puts text at ruleKey, or deletes it where text is empty.
func write(t *testing.T, endpoint, text string) {
	t.Helper()
	put(t, endpoint, ruleKey, text)
}

// put puts text at a key, or deletes it where text is empty.
func put(t *testing.T, endpoint, key, text string) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if text == "" {
		_, err = c.Delete(ctx, key)
	} else {
		_, err = c.Put(ctx, key, text)
	}
	if err != nil {
		t.Fatal(err)
	}
}

const ruleKey = "/dubbo/config/dubbo/order.tag-router"

// TestRulesMoveCalls: a running consumer and a config centre that is there.
//
//  1. no rule: both providers serve all calls
//  2. a rule: calls for gray go to its address, the others do not
//  3. deleted: as before
//  4. the router section of dubbogo.yml: the same, until the centre says otherwise.
func TestRulesMoveCalls(t *testing.T) {
	w := newWorld(t)
	endpoint := w.registry.Endpoint()
	center := fmt.Sprintf("  config-center: { protocol: etcdv3, address: \"%s\", timeout: 5s }\n", endpoint)
	web := w.consumer(t, center)
	// 1
	web.await(w.all())
	// 2
	began := time.Now()
	write(t, endpoint, w.rule())
	web.await(w.lane())
	t.Logf("a rule moved the calls after %v, 24 calls to see it included", time.Since(began).Round(time.Millisecond))
	// 3
	began = time.Now()
	write(t, endpoint, "")
	web.await(w.all())
	t.Logf("its delete after %v", time.Since(began).Round(time.Millisecond))
	// 4
	static := w.consumer(t, center+fmt.Sprintf("  router:\n    - { scope: application, key: order, tags: [{ name: gray, addresses: [\"127.0.0.1:%d\"] }] }\n", w.b))
	static.await(w.lane())
	write(t, endpoint, "enabled: false\nkey: order\n")
	static.await(w.all())
	write(t, endpoint, "")
	static.await(w.lane())
}

// TestCenterDownAtStart: register.require says whether the start ends.
func TestCenterDownAtStart(t *testing.T) {
	w := newWorld(t)
	for _, tc := range []struct{ protocol string }{{"etcdv3"}, {"zookeeper"}, {"nacos"}} {
		center := fmt.Sprintf("  config-center: { protocol: %s, address: \"%s\", timeout: 1s }\n", tc.protocol, ports.Dead())
		web := w.consumer(t, center+"  custom: { config-map: { graylane: { register: { timeout: 500ms } } } }\n")
		line := web.await("graylane: config-center:")
		t.Log(line)
		if !strings.Contains(line, "cannot be reached") || !strings.Contains(line, "refused") {
			t.Errorf("%s: %q, want the cause", tc.protocol, line)
		}
		select {
		case <-web.child.Done():
		case <-time.After(patience):
			t.Fatalf("%s: still there", tc.protocol)
		}
	}

	// A centre that comes later: started, so that its port is known, then stopped.
	for _, tc := range []struct {
		protocol string
		start    func(t *testing.T, key, rule string) late
	}{{"etcdv3", lateEtcd}, {"zookeeper", lateZooKeeper}} {
		t.Run(tc.protocol, func(t *testing.T) {
			center := tc.start(t, ruleKey, w.rule())
			web := w.consumer(t, fmt.Sprintf("  config-center: { protocol: %s, address: \"%s\", timeout: 1s }\n", tc.protocol, center.address)+
				"  custom: { config-map: { graylane: { register: { require: false } } } }\n")
			if tc.protocol == "zookeeper" { // etcd's is lazy and never down
				web.await("was down at the start")
			}
			web.await(w.all())
			if err := center.restart(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			want := []string{w.lane()}
			if tc.protocol == "zookeeper" { // tag rules wait for nobody: they may be there first
				want = append(want, "config-center zookeeper "+center.address+" is there")
			}
			web.awaitAll(want...)
			t.Logf("rules of a centre that came late hold after %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// late is a centre that holds a rule and is down.
type late struct {
	address string
	restart func() error
}

func lateEtcd(t *testing.T, key, rule string) late {
	t.Helper()
	s := startEtcd(t)
	put(t, s.Endpoint(), key, rule)
	s.Stop()
	return late{s.Endpoint(), s.Restart}
}

func lateZooKeeper(t *testing.T, key, rule string) late {
	t.Helper()
	need.Long(t, "starts a JVM")
	need.Part(t, zookeeper.Missing())
	s, err := zookeeper.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	conn, _, err := zk.Connect([]string{s.Address()}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	node := "/"
	for part := range strings.SplitSeq(strings.TrimPrefix(key, "/"), "/") {
		node = path.Join(node, part)
		if _, err := conn.Create(node, []byte(rule), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return late{s.Address(), func() error { return s.Restart(t.Context()) }}
}

// TestModes: observe follows rules too, for what it compares; off follows none, and
// a dubbogo.yml with a config centre on etcd still starts.
func TestModes(t *testing.T) {
	w := newWorld(t)
	write(t, w.registry.Endpoint(), w.rule())
	for mode, want := range map[string]string{"observe": " rules 1", "off": " rules 0"} {
		web := w.consumer(t, fmt.Sprintf("  config-center: { protocol: etcdv3, address: \"%s\" }\n", w.registry.Endpoint()), "GRAYLANE_MODE="+mode)
		line := web.await("SAY gray")
		for strings.Contains(line, "none") || mode == "observe" && !strings.HasSuffix(line, want) {
			line = web.await("SAY gray")
		}
		if !strings.HasSuffix(line, want) {
			t.Errorf("%s: %q, want%s", mode, line, want)
		}
	}
}
