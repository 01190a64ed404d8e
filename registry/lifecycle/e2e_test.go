// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// Steps of this test:
//  1. a caller that can reroute calls all the time, and once for 2 s;
//  2. SIGTERM: it sees the mark on a success (and, over Triple, on an error) and
//     stops calling;
//  3. the process ends when the long call has returned, not before, not later;
//  4. the books are equal.
func TestDrainEndsWithTheLastCall(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string, p provider, port int) {
		t.Helper()
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
			if state, err = call("web-1", "1ms"); err != nil {
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
		t.Helper()
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
		if !slices.Equal(r.Uninformed, []string{"deaf-1"}) || len(r.CannotReroute) != 1 {
			t.Errorf("uninformed %v, cannot reroute %v; want deaf-1, and one plain caller", r.Uninformed, r.CannotReroute)
		}
		for _, caller := range r.Callers {
			if caller.ID == "deaf-1" && (caller.Accepted != accepted || caller.Refused != sent-accepted || caller.Accepted+caller.Refused != sent) {
				t.Errorf("books of deaf-1: %+v; sent %d, of which %d were answered", caller, sent, accepted)
			}
		}
	})
}

// A Triple caller that does not call learns it from its health Watch, and says so: the
// process leaves after the quiet period. One that hangs says nothing, and is waited for.
func TestIdleTripleCaller(t *testing.T) {
	for _, tc := range []struct {
		name            string
		answers         bool
		leastMs, mostMs float64
	}{{"hears", true, 200, 1900}, {"hangs", false, 2000, 4500}} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			port := ports.Free()
			c := start(t, provider{
				Tri: port, Require: true, Registries: []string{"ok:1"},
				Shutdown: conf.Shutdown{QuietPeriod: 200 * time.Millisecond, Notice: 2 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: time.Second},
			})
			c.await("SAY ready")
			if _, err := c.dial("tri", port)("idle-1", "1ms"); err != nil {
				t.Fatal(err)
			}
			incarnation := c.await("SAY incarnation ")
			c.terminate()
			c.await("SAY unregister ok:1")
			if tc.answers {
				u := common.NewURLWithOptions(common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)))
				if err := ack.Send(t.Context(), u, "idle-1;"+incarnation, tag.StateClosing, incarnation); err != nil {
					t.Fatal(err)
				}
			}
			c.exit(0)
			if r := c.report(); r.DrainMs < tc.leastMs || r.DrainMs > tc.mostMs || r.Callers[0].Informed != tc.answers || slices.Contains(r.Uninformed, "idle-1") == tc.answers {
				t.Errorf("report %s, want it informed: %t, and a drain of %v to %v ms", r, tc.answers, tc.leastMs, tc.mostMs)
			}
		})
	}
}

// A plain dubbo-go caller is served for the notice.
func TestPlainCallerIsServedForTheNotice(t *testing.T) {
	eachProtocol(t, func(t *testing.T, protocol string, p provider, port int) {
		t.Helper()
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
		if r := c.report(); r.DrainMs < 1500 || r.DrainMs > 4500 || r.Refused != 0 || r.Callers[0].Reroutes || !slices.Equal(r.CannotReroute, []string{r.Callers[0].ID}) || len(r.Uninformed) != 0 {
			t.Errorf("report %s", r)
		}
	})
}

// Two registries of one type, of which one hangs: the other is deregistered all
// the same, and nobody waits for longer than the hanging one's bound.
func TestRegistryThatHangs(t *testing.T) {
	port := ports.Free()
	c := start(t, provider{
		Tri: port, Require: true, Registries: []string{"ok:1", "hangs:1", "ok:2"},
		Shutdown: conf.Shutdown{QuietPeriod: 100 * time.Millisecond, Notice: 20 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 700 * time.Millisecond},
	})
	c.await("SAY ready")
	call := c.dial("tri", port)
	if _, err := call("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	signal := c.terminate()
	for time.Since(signal) < 50*time.Millisecond { // it hears of the leave by an answer
		if _, err := call("web-1", "1ms"); err != nil {
			t.Fatal(err)
		}
	}
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
				Tri: ports.Free(), Require: true, Application: tc.application,
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
	port := ports.Free()
	c := start(t, provider{Tri: port, Registries: []string{"flaky:1", "down:1"}, Shutdown: conf.Default().Shutdown})
	c.await("SAY register flaky:1")
	if _, err := c.dial("tri", port)("", "1ms"); err != nil {
		t.Errorf("a direct call: %v", err)
	}
	if _, ready := c.find("SAY ready"); ready {
		t.Error("ready with one registry down")
	}
}

// Registration waits for a while, or for the program, at either level; direct calls
// are served meanwhile, and the wait is no part of the age.
func TestDelayAndManual(t *testing.T) {
	for _, application := range []bool{false, true} {
		registered := "SAY register ok:1"
		if application {
			registered = "SAY instance ok:1"
		}
		t.Run(fmt.Sprintf("delay application=%v", application), func(t *testing.T) {
			t.Parallel()
			const delay = 2 * time.Second
			began, port := time.Now(), ports.Free()
			c := start(t, provider{Tri: port, Require: true, Application: application, Delay: delay, Registries: []string{"ok:1"}})
			c.serves("tri", port)
			if time.Since(began) < delay {
				c.never(registered)
			}
			line := c.await(registered)
			if born := startTime(t, line); time.Since(began) < delay || born.Sub(began) < delay-time.Millisecond {
				t.Errorf("born %v after the start, registered %v after it, want %v", born.Sub(began), time.Since(began), delay)
			}
			c.await("SAY ready")
		})
		t.Run(fmt.Sprintf("manual application=%v", application), func(t *testing.T) {
			t.Parallel()
			port := ports.Free()
			c := start(t, provider{Tri: port, Require: true, Application: application, Manual: true, Registries: []string{"ok:1"}})
			c.serves("tri", port)
			c.never(registered)
			c.never("SAY ready")
			told := time.Now()
			c.tell("register")
			c.await("SAY registered")
			if born := startTime(t, c.await(registered)); born.Before(told.Truncate(time.Millisecond)) {
				t.Errorf("born at %v, before it was let register at %v", born, told)
			}
			c.await("SAY ready")
		})
	}
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
		c := start(t, provider{Tri: ports.Free(), Require: true, Registries: []string{"ok:1"}})
		m := fields(t, c, c.await("SAY register ok:1"))
		if m["WarmupTime"] != "0" || m["weight"] != "0" {
			t.Errorf("published %v, want dubbo-go's weight 0", m)
		}
	})
	t.Run("application level", func(t *testing.T) {
		port := ports.Free()
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

// A tag that only the service has is the instance's too.
func TestTagOfTheService(t *testing.T) {
	c := start(t, provider{Tri: ports.Free(), Require: true, Application: true, ServiceTag: "blue", Registries: []string{"ok:1"}})
	if line := c.await("SAY instance ok:1"); !strings.Contains(line, "tag=blue") || !strings.Contains(line, `"dubbo.tag":"blue"`) {
		t.Errorf("published %s", line)
	}
}

// A second signal does not wait.
func TestSecondSignal(t *testing.T) {
	port := ports.Free()
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
