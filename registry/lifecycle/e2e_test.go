// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
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
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

const patience = 30 * time.Second

// child is a running provider process.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr bytes.Buffer
	exited chan struct{}

	mu      sync.Mutex
	lines   []string
	changed chan struct{}
}

func start(t *testing.T, p provider) *child {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	if p.Timeout == 0 {
		p.Timeout = 5 * time.Second
	}
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

func (readingCluster) Join(d directory.Directory) base.Invoker {
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

func eachProtocol(t *testing.T, f func(t *testing.T, protocol string, p provider, port int)) {
	for _, protocol := range []string{"tri", "dubbo"} {
		t.Run(protocol, func(t *testing.T) {
			port := freePort()
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

func freePort() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}

// Steps of this test:
//  1. a caller that can reroute calls all the time, and once for 2 s;
//  2. SIGTERM: it sees the mark on a success (and, over Triple, on an error) and
//     stops calling;
//  3. the process ends when the long call has returned, not before, not later;
//  4. the books are equal.
func TestDrainEndsWithTheLastCall(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string, p provider, port int) {
		p.Shutdown = conf.Shutdown{QuietPeriod: 300 * time.Millisecond, Notice: 20 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second}
		c := start(t, p)
		c.await("SAY ready")
		call := c.dial(protocol, port)
		want := "closing;" + c.await("SAY incarnation ")

		// 1.
		sent := uint64(1)
		var long error
		var ended time.Time
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, long = call("web-1", "2s")
			ended = time.Now()
		}()
		for range 10 {
			state, err := call("web-1", "1ms")
			if err != nil || state != "" {
				t.Fatalf("before: %q, %v", state, err)
			}
			sent++
		}

		// 2.
		c.terminate()
		for state := ""; state != want; sent++ {
			var err error
			if state, err = call("web-1", "10ms"); err != nil {
				t.Fatalf("after the signal: %v", err)
			}
		}
		if protocol == "tri" {
			state, err := call("web-1", "fail")
			sent++
			if state != want || triple_protocol.CodeOf(err) != triple_protocol.CodeBizError || !strings.Contains(err.Error(), "out of stock") {
				t.Errorf("an error while closing: %q, %v; want %q and the handler's own", state, err, want)
			}
		}

		// 3.
		<-done
		if long != nil {
			t.Errorf("the long call: %v", long)
		}
		c.exit(0)
		if late := time.Since(ended); late > 3*time.Second {
			t.Errorf("the process ended %v after its last call", late)
		}

		// 4.
		r := c.report()
		if r.Accepted != sent || r.Completed != sent || r.Refused != 0 || r.Aborted != 0 || len(r.Abandoned) != 0 {
			t.Errorf("report %s, want %d calls accepted and completed", r, sent)
		}
		if len(r.Callers) != 1 || r.Callers[0].ID != "web-1" || !r.Callers[0].Informed || !r.Callers[0].Reroutes {
			t.Errorf("callers %+v, want web-1, informed", r.Callers)
		}
		if r.App != "shop" || len(r.Addresses) != 1 || r.Addresses[0] != "127.0.0.1:"+strconv.Itoa(port) || r.InFlightAtMark < 1 || r.Deregistered == "" {
			t.Errorf("report %s", r)
		}
		c.await("SAY stopped")
		c.await("SAY unregister ok:1")
	})
}

// Steps of this test:
//  1. a caller that can reroute does not listen: it calls on and on;
//  2. after the notice it is refused, typed, and a plain caller is served on;
//  3. refused and accepted calls together are all that were sent.
func TestRefusalIsTyped(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string, p provider, port int) {
		p.Shutdown = conf.Shutdown{QuietPeriod: 300 * time.Millisecond, Notice: time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second}
		c := start(t, p)
		c.await("SAY ready")
		call := c.dial(protocol, port)

		// 1.
		done := make(chan error, 1)
		go func() { _, err := call("", "3s"); done <- err }() // keeps the process
		if _, err := call("deaf-1", "1ms"); err != nil {
			t.Fatal(err)
		}
		signal := c.terminate()
		sent, accepted := uint64(1), uint64(1)
		var refusal error
		for refusal == nil && time.Since(signal) < 10*time.Second {
			sent++
			if _, err := call("deaf-1", "5ms"); err != nil {
				refusal = err
			} else {
				accepted++
			}
		}

		// 2.
		if since := time.Since(signal); since < p.Shutdown.Notice {
			t.Errorf("refused %v after the signal, before the notice of %v", since, p.Shutdown.Notice)
		}
		if protocol == "tri" {
			var te *triple_protocol.Error
			if !errors.As(refusal, &te) || te.Code() != triple_protocol.CodeUnavailable || te.Meta().Get(tag.KeyRefused) != tag.RefusedClosing || te.Meta().Get(tag.KeyState) == "" {
				t.Errorf("refusal: %#v", refusal)
			}
		} else {
			var ge *hessian2.GenericException
			if !errors.As(refusal, &ge) || ge.ExceptionClass != tag.RefusedClass || ge.ExceptionMessage != tag.RefusedClosing {
				t.Errorf("refusal: %#v", refusal)
			}
		}
		if _, err := call("", "1ms"); err != nil {
			t.Errorf("a plain caller was not served: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("the plain call in flight: %v", err)
		}

		// 3.
		c.exit(0)
		r := c.report()
		for _, caller := range r.Callers {
			if caller.ID == "deaf-1" && (caller.Accepted != accepted || caller.Refused != sent-accepted || caller.Accepted+caller.Refused != sent) {
				t.Errorf("books of deaf-1: %+v; sent %d, of which %d were answered", caller, sent, accepted)
			}
		}
	})
}

// A Triple caller that does not call learns it from its health Watch: the process
// leaves after the quiet period.
func TestIdleTripleCallerIsTold(t *testing.T) {
	port := freePort()
	c := start(t, provider{
		Tri: port, Require: true, Registries: []string{"ok:1"},
		Shutdown: conf.Shutdown{QuietPeriod: 200 * time.Millisecond, Notice: 20 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: time.Second},
	})
	c.await("SAY ready")
	if _, err := c.dial("tri", port)("idle-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	c.terminate()
	c.exit(0)
	if r := c.report(); r.DrainMs > 3000 || !r.Callers[0].Informed {
		t.Errorf("report %s, want the caller informed and a drain of a quiet period", r)
	}
}

// A plain dubbo-go caller is served for the notice.
func TestPlainCallerIsServedForTheNotice(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string, p provider, port int) {
		p.Shutdown = conf.Shutdown{QuietPeriod: 100 * time.Millisecond, Notice: 1500 * time.Millisecond, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second}
		c := start(t, p)
		c.await("SAY ready")
		call := c.dial(protocol, port)
		if _, err := call("", "1ms"); err != nil {
			t.Fatal(err)
		}
		signal := c.terminate()
		for time.Since(signal) < p.Shutdown.Notice {
			if _, err := call("", "5ms"); err != nil {
				t.Fatalf("%v after the signal: %v", time.Since(signal), err)
			}
		}
		c.exit(0)
		if r := c.report(); r.DrainMs < 1500 || r.DrainMs > 4500 || r.Refused != 0 || r.Callers[0].Reroutes {
			t.Errorf("report %s", r)
		}
	})
}

// Two registries of one type, of which one hangs: the other is deregistered all
// the same, and nobody waits for longer than the hanging one's bound.
func TestRegistryThatHangs(t *testing.T) {
	port := freePort()
	c := start(t, provider{
		Tri: port, Require: true, Registries: []string{"ok:1", "hangs:1", "ok:2"},
		Shutdown: conf.Shutdown{QuietPeriod: 100 * time.Millisecond, Notice: 20 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 700 * time.Millisecond},
	})
	c.await("SAY ready")
	if _, err := c.dial("tri", port)("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	signal := c.terminate()
	c.exit(0)
	if took := time.Since(signal); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	for _, want := range []string{"SAY unregister ok:1 " + triService, "SAY unregister ok:2 " + triService} {
		if _, ok := c.find(want); !ok {
			t.Errorf("no %q", want)
		}
	}
	if r := c.report(); r.DrainMs > 700 {
		t.Errorf("the drain took %v ms, want the quiet period", r.DrainMs)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c := start(t, provider{Tri: l.Addr().(*net.TCPAddr).Port, Require: true, Registries: []string{"ok:1"}})
	c.exit(1)
	want := fmt.Sprintf("graylane: protocol tri: listen %s: address already in use\n", l.Addr())
	if got := c.stderr.String(); got != want {
		t.Errorf("stderr %q, want %q", got, want)
	}
}

func TestRegistryIsRequired(t *testing.T) {
	for _, tc := range []struct {
		behaviour, reason string
		application       bool
	}{
		{"down", "connection refused", false},
		{"panics", "nobody home", false},
		{"down", "Create service discovery failed: connection refused", true},
	} {
		t.Run(fmt.Sprintf("%s application=%v", tc.behaviour, tc.application), func(t *testing.T) {
			c := start(t, provider{
				Tri: freePort(), Require: true, Application: tc.application,
				Timeout: 300 * time.Millisecond, Registries: []string{tc.behaviour + ":1"},
			})
			c.exit(1)
			want := fmt.Sprintf("graylane: registry %s://%s:1: not registered within 300ms: %s\n", testRegistry, tc.behaviour, tc.reason)
			if got := c.stderr.String(); got != want {
				t.Errorf("stderr %q, want %q", got, want)
			}
		})
	}
}

// Without require the process serves direct calls, is not ready, and registers
// when the registry is back.
func TestRegistryComesBack(t *testing.T) {
	port := freePort()
	c := start(t, provider{Tri: port, Registries: []string{"flaky:1", "down:1"}, Shutdown: conf.Default().Shutdown})
	c.await("SAY register flaky:1")
	if _, err := c.dial("tri", port)("", "1ms"); err != nil {
		t.Errorf("a direct call: %v", err)
	}
	if _, ready := c.find("SAY ready"); ready {
		t.Error("ready with one registry down")
	}
}

func TestDelayAndManual(t *testing.T) {
	t.Run("delay", func(t *testing.T) {
		began := time.Now()
		c := start(t, provider{Tri: freePort(), Require: true, Delay: 700 * time.Millisecond, Registries: []string{"ok:1"}})
		c.await("SAY register ok:1")
		if took := time.Since(began); took < 700*time.Millisecond {
			t.Errorf("registered after %v, before the delay", took)
		}
		c.await("SAY ready")
	})
	t.Run("manual", func(t *testing.T) {
		c := start(t, provider{Tri: freePort(), Require: true, Manual: true, Registries: []string{"ok:1"}})
		c.await("SAY register ok:1")
		lines := strings.Join(c.all(), "\n")
		if strings.Index(lines, "SAY letting it register") > strings.Index(lines, "SAY register ok:1") {
			t.Error("registered before it was allowed to")
		}
		c.await("SAY ready")
	})
}

func TestPublished(t *testing.T) {
	fields := func(t *testing.T, c *child, line string) map[string]string {
		t.Helper()
		var m map[string]string
		if err := json.Unmarshal([]byte(line[strings.IndexByte(line, '{'):]), &m); err != nil {
			t.Fatal(err)
		}
		if m["graylane-incarnation"] != c.await("SAY incarnation ") || m["dubbo.tag"] != "gray" || m["timestamp"] != m["StartTime"] || m["warmup"] != m["WarmupTime"] {
			t.Errorf("published %v", m)
		}
		ms, err := strconv.ParseInt(m["StartTime"], 10, 64)
		if age := time.Since(time.UnixMilli(ms)); err != nil || age < 0 || age > patience {
			t.Errorf("StartTime %q is %v ago", m["StartTime"], age)
		}
		return m
	}
	t.Run("interface level", func(t *testing.T) {
		c := start(t, provider{Tri: freePort(), Require: true, Registries: []string{"ok:1"}})
		m := fields(t, c, c.await("SAY register ok:1"))
		if m["WarmupTime"] != "0" || m["weight"] != "0" {
			t.Errorf("published %v, want dubbo-go's weight 0", m)
		}
	})
	t.Run("application level", func(t *testing.T) {
		port := freePort()
		var revisions []string
		for range 2 { // a restart on the same port is no new revision
			c := start(t, provider{Tri: port, Require: true, Application: true, Registries: []string{"ok:1"}, Shutdown: conf.Shutdown{Timeout: 5 * time.Second, RegistryTimeout: time.Second}})
			line := c.await("SAY instance ok:1")
			m := fields(t, c, line)
			if m["WarmupTime"] != "90000" || m["weight"] != "100" || !strings.Contains(line, "weight=100 tag=gray") {
				t.Errorf("published %s", line)
			}
			_, revision, _ := strings.Cut(line, "revision=")
			revisions = append(revisions, strings.Fields(revision)[0])
			c.await("SAY ready")
			// dubbo-go races with itself when a server stops that nobody ever called.
			if _, err := c.dial("tri", port)("web-1", "1ms"); err != nil {
				t.Fatal(err)
			}
			c.terminate()
			c.exit(0)
			c.await("SAY gone ok:1 127.0.0.1:" + strconv.Itoa(port))
		}
		if revisions[0] != revisions[1] || len(revisions[0]) < 8 {
			t.Errorf("revisions %v, want one", revisions)
		}
	})
}

// A second signal does not wait.
func TestSecondSignal(t *testing.T) {
	port := freePort()
	c := start(t, provider{Tri: port, Require: true, Registries: []string{"ok:1"}, Shutdown: conf.Shutdown{Notice: 20 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: time.Second}})
	c.await("SAY ready")
	if _, err := c.dial("tri", port)("", "1ms"); err != nil {
		t.Fatal(err)
	}
	first := c.terminate()
	c.await("SAY unregister ok:1")
	c.terminate()
	c.exit(1)
	if took := time.Since(first); took > 10*time.Second {
		t.Errorf("took %v", took)
	}
}
