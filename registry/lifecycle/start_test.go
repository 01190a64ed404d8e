// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// The parts between export and registration add up, in this order.
func TestPreparationOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var steps []string
		at := func(what string) { steps = append(steps, fmt.Sprint(what, " ", time.Since(began))) }
		exported, asked := make(chan struct{}), make(chan struct{})
		time.AfterFunc(time.Second, func() { close(exported) })
		time.AfterFunc(5*time.Second, func() { close(asked) })
		tries := 0
		p := preparation{
			delay: 3 * time.Second, asked: asked, exported: exported,
			round: round{interval: time.Second, timeout: time.Second, limit: time.Minute, checks: []check{{"a", func(context.Context) error {
				at("check")
				if tries++; tries < 3 {
					return errors.New("not yet")
				}
				return nil
			}}}},
			before: []func(context.Context) error{
				func(context.Context) error { at("first hook"); return nil },
				func(context.Context) error { at("second hook"); return nil },
			},
		}
		if err := p.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"check 5s", "check 6s", "check 7s", "first hook 7s", "second hook 7s"}; !slices.Equal(steps, want) {
			t.Errorf("%v, want %v", steps, want)
		}
	})
}

// Checks and hooks wait for the services: they may call them.
func TestPreparationWaitsForTheServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		exported := make(chan struct{})
		time.AfterFunc(4*time.Second, func() { close(exported) })
		p := preparation{exported: exported, before: []func(context.Context) error{func(context.Context) error { return nil }}}
		if err := p.run(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("%v after %v, want 4s", err, time.Since(began))
		}
	})
}

func TestPreparationFails(t *testing.T) {
	open := make(chan struct{})
	close(open)
	for name, hook := range map[string]func(context.Context) error{
		"no cache":    func(context.Context) error { return errors.New("no cache") },
		"panic: boom": func(context.Context) error { panic("boom") },
	} {
		never := func(context.Context) error { t.Error("a hook ran after one that failed"); return nil }
		p := preparation{exported: open, before: []func(context.Context) error{hook, never}}
		if err := p.run(t.Context()); err == nil || err.Error() != "lifecycle.OnBeforeRegister: "+name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The probe says that a process waits on purpose.
func TestWaitingIsNotReady(t *testing.T) {
	m := newTestManager()
	m.markReady() // means nothing to a process with services
	m.registrarFor(registryURL(t, "registry", "127.0.0.1:8848", "a"))
	m.later.Store(true)
	if err := m.readiness(); !errors.Is(err, errLater) {
		t.Errorf("waiting: %v", err)
	}
	m.openDoor()
	if err := m.readiness(); err != nil {
		t.Errorf("with nothing to register: %v", err)
	}
}

// A process that is told to leave while it waits does not register, and does not fail.
func TestPreparationEndsWithTheProcess(t *testing.T) {
	for name, p := range map[string]preparation{
		"delay":    {delay: time.Hour},
		"asked":    {asked: make(chan struct{})},
		"exported": {exported: make(chan struct{}), before: []func(context.Context) error{nil}},
	} {
		m := newTestManager()
		ctx, cancel := m.untilLeaving()
		close(m.stop)
		if err := p.run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

func TestRoundLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), 0
		r := round{
			interval: time.Second, timeout: 100 * time.Millisecond, limit: 3500 * time.Millisecond,
			checks: []check{
				{"passes", func(context.Context) error { return nil }},
				{"db", func(context.Context) error { tries++; return errors.New("no route") }},
			},
		}
		err := r.pass(t.Context())
		if err == nil || err.Error() != "register.check: db: not passed within 3.5s: no route" {
			t.Error(err)
		}
		if took := time.Since(began); took != 3500*time.Millisecond || tries != 4 {
			t.Errorf("%d tries in %v, want 4 in 3.5s", tries, took)
		}
	})
}

// A try that does not return, or panics, is a try that failed.
func TestRoundTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, tries := time.Now(), atomic.Int32{}
		r := round{interval: time.Second, timeout: 2 * time.Second, limit: time.Minute, checks: []check{{"slow", func(context.Context) error {
			switch tries.Add(1) {
			case 1:
				time.Sleep(time.Hour) // deaf to its ctx
			case 2:
				panic("boom")
			}
			return nil
		}}}}
		if err := r.pass(t.Context()); err != nil || time.Since(began) != 4*time.Second {
			t.Errorf("%v after %v, want 2s for the first try and two pauses", err, time.Since(began))
		}
		time.Sleep(2 * time.Hour) // the deaf one ends, or the bubble complains
	})
}

func TestChecks(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ready":
		case "/moved":
			http.Redirect(w, r, "/broken", http.StatusFound)
		case "/slow":
			<-r.Context().Done()
		default:
			http.Error(w, "broken", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	states := health.NewServer()
	states.SetServingStatus("shop.Cart", grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	peer := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(peer, states)
	go func() { _ = peer.Serve(l) }()
	t.Cleanup(peer.Stop)
	dead := ports.Dead()

	for _, tc := range []struct {
		check conf.Check
		want  string // "": passes
	}{
		{conf.Check{HTTP: web.URL + "/ready"}, ""},
		{conf.Check{HTTP: web.URL + "/moved"}, ""},
		{conf.Check{HTTP: web.URL + "/broken"}, "status 503, want 200 to 399"},
		{conf.Check{HTTP: web.URL + "/slow"}, "no answer in time"},
		{conf.Check{HTTP: "http://" + dead}, "connection refused"},
		{conf.Check{TCP: l.Addr().String()}, ""},
		{conf.Check{TCP: dead}, "connection refused"},
		{conf.Check{GRPC: l.Addr().String()}, ""},
		{conf.Check{GRPC: l.Addr().String() + "/shop.Cart"}, "status NOT_SERVING, want SERVING"},
		{conf.Check{GRPC: l.Addr().String() + "/shop.Order"}, "NotFound: unknown service"},
		{conf.Check{GRPC: dead}, "Unavailable"},
	} {
		list := checksOf(tc.check)
		if len(list) != 1 {
			t.Fatalf("%+v: %d checks", tc.check, len(list))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		err := list[0].try(ctx)
		cancel()
		if got := fmt.Sprint(err); tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(got, tc.want)) {
			t.Errorf("%s: %v, want %q", list[0].name, err, tc.want)
		}
	}
	if n := len(checksOf(conf.Default().Register.Check)); n != 0 {
		t.Errorf("%d checks by default", n)
	}
}

// Steps of this test:
//  1. a check in the settings and one of the program do not pass: a direct call is
//     served, nothing is registered, the instance is not ready;
//  2. they pass: the hook runs, then the instance registers, born then;
//  3. it is ready.
func TestRegistersWhenChecksPass(t *testing.T) {
	pass := make(chan struct{})
	asked := make(chan struct{}, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case <-pass:
		default:
			http.Error(w, "warming", http.StatusServiceUnavailable)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(web.Close)
	port := ports.Free()
	c := start(t, provider{
		Tri: port, Require: true, Gated: true, Hook: "ok", Registries: []string{"ok:1"},
		Check: conf.Check{HTTP: web.URL, Interval: 20 * time.Millisecond, Timeout: time.Second, Limit: patience},
	})

	// 1.
	for range 3 {
		<-asked
	}
	if _, err := c.dial("tri", port)("", "1ms"); err != nil {
		t.Errorf("a direct call before registration: %v", err)
	}
	close(pass)
	for range 3 {
		<-asked
	}
	c.never("SAY hook") // the program's own check still fails
	c.never("SAY ready")

	// 2.
	passed := time.Now()
	c.tell("pass")
	line := c.await("SAY register ok:1")
	if born := startTime(t, line); born.Before(passed.Truncate(time.Millisecond)) {
		t.Errorf("born at %v, before the checks passed at %v", born, passed)
	}
	lines := strings.Join(c.all(), "\n")
	if hook := strings.Index(lines, "SAY hook"); hook < 0 || hook > strings.Index(lines, "SAY register ok:1") {
		t.Errorf("the hook did not run before registration:\n%s", lines)
	}

	// 3.
	c.await("SAY ready")
}

// dubbo-go's Triple server answers a gRPC health check, here the instance's own.
func TestGRPCCheckOfTriple(t *testing.T) {
	p := provider{Tri: ports.Free(), Require: true, Registries: []string{"ok:1"}}
	p.Check = conf.Check{
		GRPC:     fmt.Sprintf("127.0.0.1:%d/%s", p.Tri, triService),
		Interval: 20 * time.Millisecond, Timeout: time.Second, Limit: patience,
	}
	c := start(t, p)
	c.await("registration begins")
	c.await("SAY ready")
}

// A start that cannot succeed says why, in one line.
func TestStartFails(t *testing.T) {
	for name, tc := range map[string]struct {
		p    provider
		want string
	}{
		"a check": {
			provider{Gated: true, Check: conf.Check{Interval: 10 * time.Millisecond, Timeout: time.Second, Limit: 200 * time.Millisecond}},
			"register.check: the program's own: not passed within 200ms: still loading",
		},
		"a hook": {provider{Hook: "fail"}, "lifecycle.OnBeforeRegister: no cache"},
		"a registry that shows us to nobody": {
			provider{Require: true, Registries: []string{"blind:1"}, Timeout: 300 * time.Millisecond},
			"registry lifecycle-test://blind:1: registered, but not seen there within 300ms",
		},
		"and at application level": {
			provider{Require: true, Application: true, Registries: []string{"blind:1"}, Timeout: 300 * time.Millisecond},
			"registry lifecycle-test://blind:1: registered, but not seen there within 300ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := tc.p
			p.Tri = ports.Free()
			if p.Registries == nil {
				p.Registries = []string{"ok:1"}
			}
			c := start(t, p)
			c.exit(1)
			if got := c.stderr.String(); got != "graylane: "+tc.want+"\n" {
				t.Errorf("stderr %q, want %q", got, tc.want)
			}
		})
	}
}

// Where the registry is not required, a process that it shows to nobody lives on
// and is not ready.
func TestUnseenIsNotReady(t *testing.T) {
	port := ports.Free()
	c := start(t, provider{Tri: port, Registries: []string{"blind:1"}, Timeout: 100 * time.Millisecond})
	c.await("looking on")
	if _, err := c.dial("tri", port)("", "1ms"); err != nil {
		t.Errorf("a direct call: %v", err)
	}
	c.never("SAY ready")
}

// Who hears of a service from the registry opens a health watch at once, and once: it must
// be served by then.
func TestHealthIsServedFirst(t *testing.T) {
	c := start(t, provider{Tri: ports.Free(), Require: true, Registries: []string{"watched:1"}, Shutdown: quick})
	if line := c.await("SAY health of " + triService); !strings.HasSuffix(line, ": <nil>") {
		t.Error(line)
	}
	c.await("SAY ready")
	c.terminate()
	c.exit(0)
}
