// SPDX-License-Identifier: Apache-2.0

package mixed

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane"
	_ "github.com/graylane/graylane/imports"
	"github.com/graylane/graylane/internal/testkit/ports"
)

const (
	envRole  = "GRAYLANE_MIXED_TEST_ROLE"
	service  = "com.shop.Order"
	patience = time.Minute
)

// role says what a child process is.
type role struct {
	Name        string        // of a provider: what it answers; "" for a caller
	Port        int           // of a provider
	Etcd        string        // address
	Application bool          // application level, else interface level
	Window      time.Duration // of a provider's warm-up
	Policy      string        // of a caller: loadbalance
	Calls       int           // of a caller
	Providers   int           // that a caller of plain dubbo-go waits for
}

func TestMain(m *testing.M) {
	text := os.Getenv(envRole)
	if text == "" {
		os.Exit(m.Run())
	}
	var r role
	check(json.Unmarshal([]byte(text), &r))
	if r.Name != "" {
		r.provide()
	} else {
		r.call()
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(3)
	}
}

func (r role) instance(app string, more ...dubbo.InstanceOption) *dubbo.Instance {
	if os.Getenv(graylane.EnvMode) != string(graylane.Off) {
		c := graylane.Default()
		c.Warmup.Window = r.Window
		check(graylane.Configure(c))
	}
	level := registry.WithRegisterInterface()
	if r.Application {
		level = registry.WithRegisterService()
	}
	ins, err := dubbo.NewInstance(append(more, dubbo.WithName(app), dubbo.WithMetadataServicePort(ports.Free()),
		dubbo.WithRegistry(registry.WithEtcdV3(), registry.WithAddress(r.Etcd), level))...)
	check(err)
	return ins
}

// Handler is the service (exported, or dubbo-go refuses it).
type Handler struct{ name string }

// Reference implements dubbo-go's RPCService.
func (h *Handler) Reference() string { return service }

// Who answers with the provider's name.
func (h *Handler) Who(context.Context, string) (string, error) { return h.name, nil }

func (r role) provide() {
	ins := r.instance("order", dubbo.WithProtocol(protocol.WithTriple(), protocol.WithIp("127.0.0.1"), protocol.WithPort(r.Port)))
	srv, err := ins.NewServer()
	check(err)
	check(srv.Register(&Handler{r.Name}, &common.ServiceInfo{InterfaceName: service, Methods: []common.MethodInfo{{
		Name: "Who", Type: constant.CallUnary,
		ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
		MethodFunc: func(ctx context.Context, _ []any, h any) (any, error) {
			name, err := h.(*Handler).Who(ctx, "")
			return triple_protocol.NewResponse(wrapperspb.String(name)), err
		},
	}}}, server.WithInterface(service)))
	check(srv.Serve())
	_, err = io.Copy(io.Discard, os.Stdin) // until it is killed, or the test is gone
	check(err)
}

// list is a router that says when a reference knows of so many providers: plain dubbo-go
// subscribes beside the call of Dial, and a call before the first list fails.
type list struct {
	want  int
	once  sync.Once
	heard chan struct{}
}

// NewPriorityRouter implements dubbo-go's factory of routers, for the one reference that
// there is.
func (l *list) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) { return l, nil }

// URL and the others implement dubbo-go's router.
func (*list) URL() *common.URL { return nil }
func (*list) Priority() int64  { return 0 }
func (l *list) Notify(invokers []base.Invoker) {
	if len(invokers) >= l.want {
		l.once.Do(func() { close(l.heard) })
	}
}

func (*list) Route(invokers []base.Invoker, _ *common.URL, _ base.Invocation) []base.Invoker {
	return invokers
}

func (r role) call() {
	known := &list{want: r.Providers, heard: make(chan struct{})}
	if os.Getenv(graylane.EnvMode) == string(graylane.Off) {
		extension.SetRouterFactory("list", func() router.PriorityRouterFactory { return known })
	} else {
		close(known.heard) // Graylane's Dial returns with the first list
	}
	cli, err := r.instance("gateway").NewClient()
	check(err)
	opts := []client.ReferenceOption{client.WithProtocolTriple(), client.WithInterface(service)}
	if r.Policy != "" {
		opts = append(opts, client.WithLoadBalance(r.Policy))
	}
	conn, err := cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"Who"}}, opts...)
	check(err)
	select {
	case <-known.heard:
	case <-time.After(patience):
		check(fmt.Errorf("not %d providers within %v", r.Providers, patience))
	}
	counts := map[string]int{}
	for n := range r.Calls {
		out := new(wrapperspb.StringValue)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		check(conn.CallUnary(ctx, []any{wrapperspb.String(strconv.Itoa(n))}, out, "Who"))
		cancel()
		counts[out.GetValue()]++
	}
	b, err := json.Marshal(counts)
	check(err)
	fmt.Printf("\nSHARES %s\n", b)
	os.Exit(0)
}

// child is a process of the fleet.
type child struct {
	cmd    *exec.Cmd
	output bytes.Buffer
	shares chan map[string]int // closed when it has ended
}

// start runs a process with Graylane, or plain.
func start(t *testing.T, r role, plain bool) *child {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{cmd: exec.Command(self), shares: make(chan map[string]int, 1)}
	mode := graylane.Enforce
	if plain {
		mode = graylane.Off
	}
	c.cmd.Env = append(os.Environ(), envRole+"="+string(text), graylane.EnvMode+"="+string(mode))
	c.cmd.Dir = t.TempDir()                      // dubbo-go writes a cache of metadata where it runs
	if _, err := c.cmd.StdinPipe(); err != nil { // closed when this process is gone
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = c.cmd.Stdout
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer close(c.shares)
		s := bufio.NewScanner(out)
		s.Buffer(nil, 1<<20)
		for s.Scan() {
			c.output.WriteString(s.Text() + "\n")
			if text, ok := strings.CutPrefix(s.Text(), "SHARES "); ok {
				var counts map[string]int
				if json.Unmarshal([]byte(text), &counts) == nil {
					c.shares <- counts
				}
			}
		}
		_ = c.cmd.Wait() // killed, or it said what it had to
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-ended
		if t.Failed() {
			lines := c.output.String()
			t.Logf("%+v, plain %t:\n%s", r, plain, lines[max(0, len(lines)-4000):])
		}
	})
	return c
}
