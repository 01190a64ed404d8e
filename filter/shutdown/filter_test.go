// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/filter/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const thisProcess = "00112233445566ff"

// handler is a service of one method.
type handler struct {
	base.BaseInvoker
	f func(base.Invocation) result.Result
}

func (h *handler) Invoke(_ context.Context, inv base.Invocation) result.Result { return h.f(inv) }

// echo answers as dubbo-go's proxy does: its answer's attachments are the
// invocation's.
func echo(inv base.Invocation) result.Result {
	r := &result.RPCResult{Rest: "ok"}
	r.SetAttachments(inv.Attachments())
	return r
}

func newService(protocol string, f func(base.Invocation) result.Result) *handler {
	u := common.NewURLWithOptions(common.WithProtocol(protocol), common.WithPath("/shop.Cart"), common.WithInterface("shop.Cart"))
	return &handler{BaseInvoker: *base.NewBaseInvoker(u), f: f}
}

func request(attachments map[string]any) *invocation.RPCInvocation {
	return invocation.NewRPCInvocation("Get", nil, attachments)
}

func TestNameIsOurs(t *testing.T) {
	for _, builtin := range []string{
		constant.GracefulShutdownProviderFilterKey, constant.EchoFilterKey, constant.TokenFilterKey, constant.AccessLogFilterKey,
		constant.TpsLimitFilterKey, constant.GenericServiceFilterKey, constant.ExecuteLimitFilterKey,
	} {
		if Name == builtin {
			t.Errorf("%q is dubbo-go's", Name)
		}
	}
	f, ok := extension.GetFilter(Name)
	if !ok {
		t.Fatalf("no filter is registered under %q", Name)
	}
	if f.(*Filter).gate != Process() {
		t.Error("dubbo-go's filter keeps its books elsewhere")
	}
	if len(Incarnation()) != 16 {
		t.Errorf("incarnation %q, want 16 hex digits", Incarnation())
	}
}

func TestWhoCalls(t *testing.T) {
	for _, tc := range []struct {
		name        string
		attachments map[string]any
		id          string
		reroutes    bool
	}{
		{"ours, as dubbo brings it", map[string]any{tag.KeyCaller: "web-1;" + thisProcess}, "web-1", true},
		{"ours, as Triple brings it", map[string]any{tag.KeyCaller: []string{"web-1;" + thisProcess}}, "web-1", true},
		{"an id with a semicolon", map[string]any{tag.KeyCaller: "web;1;" + thisProcess}, "web;1", true},
		{"meant for another, passed on by a plain hop", map[string]any{tag.KeyCaller: "web-1;ffffffffffffffff", constant.RemoteAddr: "10.0.0.7:4242"}, "10.0.0.7", false},
		{"no incarnation", map[string]any{tag.KeyCaller: "web-1"}, "unknown", false},
		{"no id", map[string]any{tag.KeyCaller: ";" + thisProcess}, "unknown", false},
		{"a line break in the id", map[string]any{tag.KeyCaller: "web\n1;" + thisProcess}, "unknown", false},
		{"an address", map[string]any{constant.RemoteAddr: "10.0.0.7:4242"}, "10.0.0.7", false},
		{"an IPv6 address", map[string]any{constant.RemoteAddr: "[fd00::7]:4242"}, "fd00::7", false},
		{"an address without port", map[string]any{constant.RemoteAddr: "10.0.0.7"}, "10.0.0.7", false},
		{"Dubbo Java over Triple", map[string]any{"tri-consumer-appname": []string{"billing"}}, "billing", false},
		{"nothing", nil, "unknown", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewGate(thisProcess)
			New(g).Invoke(t.Context(), newService("dubbo", echo), request(tc.attachments))
			callers := g.Snapshot().Callers
			if len(callers) != 1 || callers[0].ID != tc.id || callers[0].Reroutes != tc.reroutes || callers[0].Completed != 1 {
				t.Errorf("got %+v, want one call of %q, reroutes %v", callers, tc.id, tc.reroutes)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	business := errors.New("out of stock")
	shared := triple_protocol.NewError(triple_protocol.CodeBizError, business)
	fail := func(err error) func(base.Invocation) result.Result {
		return func(inv base.Invocation) result.Result {
			r := echo(inv)
			r.SetError(err)
			return r
		}
	}
	bare := func(base.Invocation) result.Result { return &result.RPCResult{Rest: "ok"} }
	v2 := map[string]any{"dubbo": "2.0.2"}
	for _, tc := range []struct {
		name        string
		protocol    string
		handler     func(base.Invocation) result.Result
		attachments map[string]any
		marked      bool
		err         error
	}{
		{"tri", "tri", bare, nil, true, nil},
		{"tri error", "tri", fail(shared), nil, true, shared},
		{"dubbo", "dubbo", echo, v2, true, nil},
		{"dubbo, a version without answer attachments", "dubbo", echo, map[string]any{"dubbo": "2.0.1"}, false, nil},
		{"dubbo, no version", "dubbo", echo, nil, false, nil},
		{"dubbo error", "dubbo", fail(business), v2, false, business},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := NewGate(thisProcess)
			g.Close()
			attachments := maps.Clone(tc.attachments)
			if attachments == nil {
				attachments = map[string]any{}
			}
			attachments[tag.KeyCaller] = "web-1;" + thisProcess
			before := maps.Clone(attachments)
			res := New(g).Invoke(t.Context(), newService(tc.protocol, tc.handler), request(attachments))
			want := any(nil)
			if tc.marked {
				want = "closing;" + thisProcess
			}
			if got := res.Attachments()[tag.KeyState]; got != want {
				t.Errorf("%s = %v, want %v", tag.KeyState, got, want)
			}
			if !errors.Is(res.Error(), tc.err) {
				t.Errorf("error %v, want the handler's own %v", res.Error(), tc.err)
			}
			if !maps.Equal(attachments, before) {
				t.Errorf("the request's attachments were changed to %v", attachments)
			}
			if informed := !g.Snapshot().Callers[0].Informed.IsZero(); informed != tc.marked {
				t.Errorf("informed = %v, want %v", informed, tc.marked)
			}
		})
	}
}

func TestRefusal(t *testing.T) {
	ours := map[string]any{tag.KeyCaller: "web-1;" + thisProcess}
	never := func(base.Invocation) result.Result { panic("the handler must not run") }

	g := NewGate(thisProcess)
	g.Refuse()
	err := New(g).Invoke(t.Context(), newService("tri", never), request(ours)).Error()
	var te *triple_protocol.Error
	if !errors.As(err, &te) || te.Code() != triple_protocol.CodeUnavailable ||
		te.Meta().Get(tag.KeyRefused) != tag.RefusedClosing || te.Meta().Get(tag.KeyState) != "closing;"+thisProcess {
		t.Errorf("tri: got %#v", err)
	}

	err = New(g).Invoke(t.Context(), newService("dubbo", never), request(ours)).Error()
	var ge *hessian2.GenericException
	if !errors.As(err, &ge) || ge.ExceptionClass != tag.RefusedClass || ge.ExceptionMessage != tag.RefusedClosing {
		t.Errorf("dubbo: got %#v", err)
	}

	if err := New(g).Invoke(t.Context(), newService("tri", echo), request(nil)).Error(); err != nil {
		t.Errorf("a caller that cannot reroute was refused: %v", err)
	}
	for _, c := range g.Snapshot().Callers {
		if c.Reroutes && (c.Refused != 2 || c.Accepted != 0) || !c.Reroutes && (c.Refused != 0 || c.Accepted != 1) {
			t.Errorf("books: %+v", c)
		}
	}
	if g.InFlight() != 0 {
		t.Errorf("in flight = %d, want 0", g.InFlight())
	}
}

// Answers carry the age until the window is over, to the nanosecond.
func TestWarming(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(thisProcess)
		f, s := New(g), newService("tri", echo)
		state := func() any {
			return f.Invoke(t.Context(), s, request(nil)).Attachments()[tag.KeyState]
		}
		if got := state(); got != nil {
			t.Errorf("before it is ready: %v, want no mark", got)
		}
		time.Sleep(time.Minute)
		g.Warm(time.Now(), 2*time.Minute)
		for _, tc := range []struct {
			wait time.Duration
			want any
		}{
			{0, "warming;0"},
			{time.Minute, "warming;60000"},
			{time.Minute - 1, "warming;119999"},
			{1, nil},
			{time.Hour, nil},
		} {
			time.Sleep(tc.wait)
			if got := state(); got != tc.want {
				t.Errorf("after another %v: %v, want %v", tc.wait, got, tc.want)
			}
		}
		g.Warm(time.Now(), time.Hour)
		g.Close()
		if got := state(); got != "closing;"+thisProcess {
			t.Errorf("closing while warming: %v", got)
		}
	})
}

func TestPanicKeepsTheBooks(t *testing.T) {
	g := NewGate(thisProcess)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		New(g).Invoke(t.Context(), newService("tri", func(base.Invocation) result.Result { panic("boom") }), request(nil))
	}()
	s := g.Snapshot()
	if c := s.Callers[0]; s.InFlight != 0 || len(s.Running) != 0 || c.Accepted != 1 || c.Completed != 0 || c.Aborted != 1 {
		t.Errorf("books: %+v", s)
	}
}

func TestRunningIsNamed(t *testing.T) {
	g := NewGate(thisProcess)
	inside, leave := make(chan struct{}), make(chan struct{})
	s := newService("tri", func(inv base.Invocation) result.Result { inside <- struct{}{}; <-leave; return echo(inv) })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { New(g).Invoke(t.Context(), s, request(map[string]any{tag.KeyCaller: "web-1;" + thisProcess})) })
		<-inside
	}
	g.Close()
	got := g.Snapshot()
	if want := (Running{"web-1", "shop.Cart/Get", 2}); len(got.Running) != 1 || got.Running[0] != want || got.InFlightMark != 2 {
		t.Errorf("running = %+v, at the mark %d; want %+v, 2", got.Running, got.InFlightMark, want)
	}
	close(leave)
	wg.Wait()
}

// What peers make us remember is bounded, and calls are still counted.
func TestBooksAreBounded(t *testing.T) {
	g := NewGate(thisProcess)
	f, s := New(g), newService("tri", echo)
	for i := range maxCallers + 10 {
		f.Invoke(t.Context(), s, request(map[string]any{tag.KeyCaller: fmt.Sprintf("web-%d;%s", i, thisProcess)}))
	}
	for i := range maxMethods + 10 {
		f.Invoke(t.Context(), s, invocation.NewRPCInvocation(fmt.Sprintf("m%d", i), nil, map[string]any{tag.KeyCaller: "web-0;" + thisProcess}))
	}
	var accepted, other uint64
	callers := g.Snapshot().Callers
	for _, c := range callers {
		accepted += c.Accepted
		if c.ID == otherCaller {
			other = c.Accepted
		}
	}
	if len(callers) != maxCallers+1 || other != 10 || accepted != maxCallers+10+maxMethods+10 {
		t.Errorf("%d callers, %d calls, %d of others", len(callers), accepted, other)
	}
	if n := len(*g.callers.of(request(map[string]any{tag.KeyCaller: "web-0;" + thisProcess}), thisProcess).methods.cur.Load()); n != maxMethods+1 {
		t.Errorf("%d methods, want %d", n, maxMethods+1)
	}
}

// No call may slip through between the refusal and the wait for idle.
func TestNoCallSlipsPastIdle(t *testing.T) {
	for range 200 {
		g := NewGate(thisProcess)
		var late bool
		idle := make(chan struct{})
		s := newService("tri", func(inv base.Invocation) result.Result {
			select {
			case <-idle:
				late = true
			default:
			}
			return echo(inv)
		})
		f := New(g)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 20 {
					f.Invoke(context.Background(), s, request(map[string]any{tag.KeyCaller: "web-1;" + thisProcess}))
				}
			})
		}
		g.Refuse()
		if err := g.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(idle)
		wg.Wait()
		if late {
			t.Fatal("a handler started after the gate was idle")
		}
		c := g.Snapshot().Callers[0]
		if c.Accepted+c.Refused != 80 || c.Accepted != c.Completed {
			t.Fatalf("books: %+v, want 80 calls", c)
		}
	}
}

func TestServingDoesNotAllocate(t *testing.T) {
	g := NewGate(thisProcess)
	f := New(g)
	res := &result.RPCResult{Rest: "ok"}
	s := newService("tri", func(base.Invocation) result.Result { return res })
	inv := request(map[string]any{tag.KeyCaller: []string{"web-1;" + thisProcess}})
	if n := testing.AllocsPerRun(1000, func() { f.Invoke(context.Background(), s, inv) }); n != 0 {
		t.Errorf("%v allocations a call, want 0", n)
	}
}

func BenchmarkServing(b *testing.B) {
	g := NewGate(thisProcess)
	f := New(g)
	res := &result.RPCResult{Rest: "ok"}
	s := newService("tri", func(base.Invocation) result.Result { return res })
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		inv := request(map[string]any{tag.KeyCaller: []string{"web-1;" + thisProcess}})
		for pb.Next() {
			f.Invoke(context.Background(), s, inv)
		}
	})
}

func FuzzBelieve(f *testing.F) {
	for _, s := range []string{"web-1;" + thisProcess, "web;1;" + thisProcess, ";" + thisProcess, thisProcess, "", "web-1", "web\x00;" + thisProcess, "\xff;" + thisProcess} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		id, ok := believe(v, thisProcess) // must not panic, whatever a peer sends
		if ok && (id == "" || len(id) > maxCallerIDBytes || !printable(id) || id+";"+thisProcess != v) {
			t.Errorf("believe(%q) = %q", v, id)
		}
	})
}

// Dubbo's $echo runs no handler: it is in no book, is never refused, and informs
// who asks while the instance leaves.
func TestEchoInformsAndCountsNowhere(t *testing.T) {
	g, s := NewGate(thisProcess), newService("dubbo", echo)
	f := New(g)
	ask := func() result.Result {
		return f.Invoke(t.Context(), s, invocation.NewRPCInvocation(constant.Echo, []any{"?"}, map[string]any{
			tag.KeyCaller: "web-1;" + thisProcess, "dubbo": "2.0.2",
		}))
	}
	if got := ask().Attachments()[tag.KeyState]; got != nil {
		t.Errorf("while serving: %v, want no mark", got)
	}
	f.Invoke(t.Context(), s, request(map[string]any{tag.KeyCaller: "web-1;" + thisProcess}))
	before := g.Snapshot()
	if c := before.Callers[0]; c.Accepted != 1 || !c.Informed.IsZero() {
		t.Fatalf("before the mark: %+v", c)
	}
	for _, step := range []func(){g.Close, g.Refuse} {
		step()
		if got := ask().Attachments()[tag.KeyState]; got != "closing;"+thisProcess {
			t.Errorf("leaving: %v, want the mark", got)
		}
	}
	after := g.Snapshot()
	if c := after.Callers[0]; len(after.Callers) != 1 || c.Accepted != 1 || c.AfterMark != 0 || c.Refused != 0 || c.Informed.IsZero() || !after.LastStart.Equal(before.LastStart) {
		t.Errorf("after: %+v, last start %v, want informed and nothing else changed (%v)", after.Callers, after.LastStart, before.LastStart)
	}
}

// A caller that ends says so, over dubbo by $echo and over Triple by a health Check. It is
// believed for its own name and this incarnation only, whether or not the instance leaves,
// and not any more when it calls again.
func TestCallerThatEnds(t *testing.T) {
	for name, say := range map[string]func(*Gate, map[string]any) result.Result{
		"echo": func(g *Gate, a map[string]any) result.Result {
			a["dubbo"] = "2.0.2"
			return New(g).Invoke(t.Context(), newService("dubbo", echo), invocation.NewRPCInvocation(constant.Echo, []any{"?"}, a))
		},
		"check": func(g *Gate, a map[string]any) result.Result {
			return NewWatch(g).Invoke(t.Context(), newService("tri", echo), invocation.NewRPCInvocation("Check", nil, a))
		},
	} {
		g := NewGate(thisProcess)
		call := func() {
			New(g).Invoke(t.Context(), newService("tri", echo), request(map[string]any{tag.KeyCaller: "web-1;" + thisProcess}))
		}
		left := func() bool {
			c := g.Snapshot().Callers[0]
			return !c.Left.IsZero() && !c.LastStart.After(c.Left)
		}
		call()
		for _, other := range []map[string]any{
			{tag.KeyCaller: "web-2;" + thisProcess, tag.KeyState: "gone;" + thisProcess},
			{tag.KeyCaller: "web-1;" + thisProcess, tag.KeyState: "gone;another"},
			{tag.KeyCaller: "web-1;" + thisProcess, tag.KeyState: "closing;" + thisProcess},
			{tag.KeyCaller: "web-1;" + thisProcess},
		} {
			if say(g, other); left() {
				t.Errorf("%s: %v is taken for the end of web-1", name, other)
			}
		}
		if say(g, map[string]any{tag.KeyCaller: "web-1;" + thisProcess, tag.KeyState: "gone;" + thisProcess}); !left() {
			t.Errorf("%s: web-1 has said that it ends, the books do not know", name)
		}
		if call(); left() {
			t.Errorf("%s: web-1 calls again and still counts as ended", name)
		}
	}
}
