// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	clusterbase "dubbo.apache.org/dubbo-go/v3/cluster/cluster/base"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

const patience = 30 * time.Second

// child is a running provider process.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.Writer
	stderr bytes.Buffer
	exited chan struct{}

	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func start(t *testing.T, p provider) *child {
	t.Helper()
	need.Long(t, "starts processes")
	if p.Timeout == 0 {
		p.Timeout = 5 * time.Second
	}
	p.Metadata = ports.Free()
	spec, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, exited: make(chan struct{}), changed: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(spec))
	c.cmd.Stderr = &c.stderr
	c.cmd.Dir = t.TempDir()
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			c.mu.Lock()
			c.lines = append(c.lines, s.Text())
			close(c.changed)
			c.changed = make(chan struct{})
			c.mu.Unlock()
		}
		_ = c.cmd.Wait() // the test looks at ProcessState
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.cmd.Process.Kill()
		<-c.exited
		if t.Failed() {
			t.Logf("child's stdout:\n%s\nstderr:\n%s", strings.Join(c.all(), "\n"), c.stderr.String())
		}
	})
	return c
}

func (c *child) all() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.lines...)
}

// find returns what follows mark in the first line that has it.
func (c *child) find(mark string) (string, bool) {
	for _, l := range c.all() {
		if _, rest, ok := strings.Cut(l, mark); ok {
			return strings.TrimSpace(rest), true
		}
	}
	return "", false
}

// tell has the child do something, see provider.obey.
func (c *child) tell(line string) {
	c.t.Helper()
	if _, err := io.WriteString(c.stdin, line+"\n"); err != nil {
		c.t.Fatal(err)
	}
}

// never fails if a line with mark was written.
func (c *child) never(mark string) {
	c.t.Helper()
	if rest, ok := c.find(mark); ok {
		c.t.Errorf("%q is there: %s", mark, rest)
	}
}

// await waits for a line.
func (c *child) await(mark string) string {
	c.t.Helper()
	deadline := time.After(patience)
	for {
		c.mu.Lock()
		changed := c.changed
		c.mu.Unlock()
		if rest, ok := c.find(mark); ok {
			return rest
		}
		select {
		case <-changed:
		case <-c.exited:
			if rest, ok := c.find(mark); ok {
				return rest
			}
			c.t.Fatalf("the provider ended without %q", mark)
		case <-deadline:
			c.t.Fatalf("no %q within %v", mark, patience)
		}
	}
}

func (c *child) terminate() time.Time {
	c.t.Helper()
	now := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		c.t.Fatal(err)
	}
	return now
}

// exit waits for the end and checks the exit code.
func (c *child) exit(code int) {
	c.t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		c.t.Fatalf("still running after %v", patience)
	}
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d", got, code)
	}
}

// report returns the drain report.
func (c *child) report() report {
	c.t.Helper()
	var r report
	if err := json.Unmarshal([]byte(c.await(reportPrefix)), &r); err != nil {
		c.t.Fatal(err)
	}
	return r
}

// reading is a cluster that lets a test see what an answer carried.
type reading struct{ clusterbase.BaseClusterInvoker }

type readingCluster struct{}

// joined is the directory of the last reference.
var joined directory.Directory

func (readingCluster) Join(d directory.Directory) base.Invoker {
	joined = d
	return &reading{clusterbase.NewBaseClusterInvoker(d)}
}

type stateKey struct{}

func (r *reading) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	trailer := &http.Header{}
	inv.SetAttribute(constant.ResponseTrailerKey, trailer)
	res := r.Directory.List(inv)[0].Invoke(ctx, inv)
	state, _ := ctx.Value(stateKey{}).(*string)
	var te *triple_protocol.Error
	switch {
	case state == nil:
	case errors.As(res.Error(), &te):
		*state = te.Meta().Get(tag.KeyState)
	case trailer.Get(tag.KeyState) != "":
		*state = trailer.Get(tag.KeyState)
	default:
		*state, _ = tag.Value(res.Attachments()[tag.KeyState])
	}
	return res
}

func init() {
	extension.SetCluster("lifecycle-reading", func() cluster.Cluster { return readingCluster{} })
}

// remote calls the provider; caller "" is one that cannot reroute.
type remote func(caller, in string) (state string, err error)

func (c *child) dial(protocol string, port int) remote {
	c.t.Helper()
	incarnation := c.await("SAY incarnation ")
	cli, err := client.NewClient(client.WithClientRequestTimeout(20*time.Second), client.WithClientShutdown(graceful_shutdown.WithoutInternalSignal()))
	if err != nil {
		c.t.Fatal(err)
	}
	name := map[string]string{"tri": triService, "dubbo": dubboService}[protocol]
	opts := []client.ReferenceOption{
		client.WithURL(fmt.Sprintf("%s://127.0.0.1:%d", protocol, port)), client.WithProtocol(protocol),
		client.WithInterface(name), client.WithCluster("lifecycle-reading"), client.WithFilter("-cshutdown"),
	}
	if protocol == "dubbo" {
		opts = append(opts, client.WithSerialization(constant.Hessian2Serialization))
	}
	conn, err := cli.DialWithInfo(name, &client.ClientInfo{InterfaceName: name, MethodNames: []string{"Call"}}, opts...)
	if err != nil {
		c.t.Fatal(err)
	}
	return func(caller, in string) (state string, err error) {
		attachments := map[string]any{}
		if caller != "" {
			attachments[tag.KeyCaller] = caller + ";" + incarnation
		}
		ctx := context.WithValue(context.Background(), constant.AttachmentKey, attachments)
		ctx = context.WithValue(ctx, stateKey{}, &state)
		if protocol == "tri" {
			err = conn.CallUnary(ctx, []any{wrapperspb.String(in)}, new(wrapperspb.StringValue), "Call")
		} else {
			var out string
			err = conn.CallUnary(ctx, []any{in}, &out, "Call", client.WithCallRequestTimeout(20*time.Second))
		}
		return state, err
	}
}

// serves waits until a direct call is answered: the port is opened a little later.
func (c *child) serves(protocol string, port int) {
	c.t.Helper()
	call := c.dial(protocol, port)
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := call("", "1ms")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("a direct call: %v", err)
		}
	}
}

func eachProtocol(t *testing.T, f func(t *testing.T, protocol string, p provider, port int)) {
	t.Helper()
	for _, protocol := range []string{"tri", "dubbo"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			port := ports.Free()
			p := provider{Require: true, Registries: []string{"ok:1"}}
			if protocol == "tri" {
				p.Tri = port
			} else {
				p.Dubbo = port
			}
			f(t, protocol, p, port)
		})
	}
}
