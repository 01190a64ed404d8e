// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

var protocols = []string{constant.TriProtocol, constant.DubboProtocol}

func timeout() error {
	return triple_protocol.NewError(triple_protocol.CodeDeadlineExceeded, context.DeadlineExceeded)
}

// TestRefusedIsRerouted: with retries 0, a refusal because of closing takes the
// instance out and the call to another of its level; the caller sees no error.
func TestRefusedIsRerouted(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "", "gray")
		r.nodes[0].refuses(protocol, tag.RefusedClosing)
		for range 50 {
			if err := r.call(nil); err != nil {
				t.Fatalf("%s: %v", protocol, err)
			}
		}
		r.nodes[0].checkBooks(t, 1, 0, 1, 0, 1)
		r.nodes[1].checkBooks(t, 50, 50, 0, 0, 0)
		r.nodes[2].checkBooks(t, 0, 0, 0, 0, 0)
		if !r.nodes[0].e.Closing() {
			t.Errorf("%s: a refusal did not take the instance out", protocol)
		}
	}
}

// TestAttempts: at most three reroutes, each endpoint once, the first free.
func TestAttempts(t *testing.T) {
	for _, tc := range []struct {
		name   string
		why    string // of the refusals
		nodes  int
		tokens float64 // in the budget
		want   int64   // attempts
	}{
		{"first is free", tag.RefusedNotReady, 2, 0, 2},
		{"then the budget pays", tag.RefusedNotReady, 3, 0, 2},
		{"budget for one", tag.RefusedNotReady, 6, 1, 3},
		{"at most three", tag.RefusedNotReady, 6, 50, 4},
		{"each endpoint once", tag.RefusedNotReady, 2, 50, 2},
		{"overloaded pays at once", tag.RefusedOverloaded, 6, 0, 1},
		{"overloaded with budget", tag.RefusedOverloaded, 6, 2, 3},
	} {
		for _, protocol := range protocols {
			settings(t, func(c *conf.Config) { c.Retry.BudgetPercent = 0 })
			r := newRig(t, protocol, make([]string, tc.nodes)...)
			r.budget.tokens, r.budget.at = tc.tokens, time.Now().Add(time.Hour) // no income
			for _, n := range r.nodes {
				n.refuses(protocol, tc.why)
			}
			r.budget.at = time.Now()
			err := r.call(nil)
			if err == nil {
				t.Fatalf("%s: no error", tc.name)
			}
			if v := judge(err); v.outcome != endpoint.Refused || v.refused != tc.why {
				t.Errorf("%s, %s: the caller sees %v, want the refusal", tc.name, protocol, err)
			}
			if got := r.total(); got != tc.want {
				t.Errorf("%s, %s: %d attempts, want %d", tc.name, protocol, got, tc.want)
			}
			for _, n := range r.nodes {
				if n.calls.Load() > 1 {
					t.Errorf("%s, %s: one endpoint was tried %d times", tc.name, protocol, n.calls.Load())
				}
			}
		}
	}
}

// TestOutcomes: what is never repeated, and how the books call it.
func TestOutcomes(t *testing.T) {
	business := triple_protocol.NewError(triple_protocol.CodeInternal, errors.New("out of stock"))
	for _, tc := range []struct {
		name     string
		protocol string
		err      error
		method   string
		unknown  string // setting
		retries  string
		attempts int64
		outcome  endpoint.Outcome
	}{
		{"timeout", "tri", timeout(), "Place", "idempotent", "", 1, endpoint.Unknown},
		{"timeout of a listed method", "tri", timeout(), "Get", "idempotent", "", 2, endpoint.Unknown},
		{"case counts", "tri", timeout(), "get", "idempotent", "", 1, endpoint.Unknown},
		{"listed, but never", "tri", timeout(), "Get", "never", "", 1, endpoint.Unknown},
		{"dubbo without retries", "tri", timeout(), "Place", "dubbo", "", 1, endpoint.Unknown},
		{"dubbo with retries", "tri", timeout(), "Place", "dubbo", "2", 2, endpoint.Unknown},
		{"retries alone", "tri", timeout(), "Place", "idempotent", "2", 1, endpoint.Unknown},
		{"reset after the write", "dubbo", syscall.ECONNRESET, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"a word of the text proves nothing", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, errors.New("connection refused")), "Place", "idempotent", "", 1, endpoint.Unknown},
		{"business, not typed as from the wire", "tri", business, "Place", "idempotent", "", 1, endpoint.Unknown},
		{"client closed", "dubbo", base.ErrClientClosed, "Place", "never", "", 2, endpoint.Failed},
		{"destroyed", "dubbo", base.ErrDestroyedInvoker, "Place", "never", "", 2, endpoint.Failed},
		{"no session", "dubbo", errors.New("session not exist"), "Place", "never", "", 2, endpoint.Failed},
		{"session closed before the write", "dubbo", errors.New("session session{1} session Already Closed"), "Place", "never", "", 2, endpoint.Failed},
		{"connection refused", "tri", triple_protocol.NewError(triple_protocol.CodeUnavailable, syscall.ECONNREFUSED), "Place", "never", "", 2, endpoint.Failed},
	} {
		settings(t, func(c *conf.Config) {
			c.Retry.Unknown = tc.unknown
			c.Retry.Idempotent = []string{service + "/Get"}
			c.Outlier.BaseEjectionTime = time.Hour
		})
		r := newRig(t, tc.protocol, "", "")
		if tc.retries != "" {
			r.url.SubURL.SetParam(constant.RetriesKey, tc.retries)
			r.view.close()
			r.Invoker = New(r, r)
			t.Cleanup(r.view.close)
		}
		var first atomic.Pointer[node]
		for _, n := range r.nodes {
			n.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if first.CompareAndSwap(nil, n) {
					return &result.RPCResult{Err: tc.err}
				}
				return ok(ctx, inv)
			}
		}
		err := r.Invoke(context.Background(), call1(tc.method, nil)).Error()
		if tc.attempts == 1 && !errors.Is(err, tc.err) || tc.attempts == 2 && err != nil {
			t.Errorf("%s: %v", tc.name, err)
		}
		if got := r.total(); got != tc.attempts {
			t.Errorf("%s: %d attempts, want %d", tc.name, got, tc.attempts)
		}
		b := first.Load().books(t)
		want := endpoint.Entry{Service: "order", Address: b.Address, Incarnation: b.Incarnation}
		switch tc.outcome {
		case endpoint.Failed:
			want.Failed, want.Rerouted = 1, 1
			if !first.Load().e.Outlier() {
				t.Errorf("%s: no outlier", tc.name)
			}
		default:
			want.Sent, want.Unknown = 1, 1
		}
		if b != want {
			t.Errorf("%s: books %+v, want %+v", tc.name, b, want)
		}
		first.Load().e.MarkClosing() // ends its probe
	}
}

// TestMarks: a closing mark takes the instance out at once, by incarnation.
func TestMarks(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "")
		r.nodes[0].marks(protocol, "closing;ffffffffffffffff")
		r.nodes[1].marks(protocol, "unheard-of;1")
		for range 20 {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		if r.nodes[0].e.Closing() || r.nodes[1].e.Closing() {
			t.Fatalf("%s: a mark of another incarnation, or an unknown one, took an instance out", protocol)
		}
		r.nodes[0].marks(protocol, tag.StateClosing+";"+r.nodes[0].e.Incarnation)
		for !r.nodes[0].e.Closing() {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		before := r.nodes[0].calls.Load()
		for range 50 {
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := r.nodes[0].calls.Load(); got != before {
			t.Errorf("%s: %d calls after the mark", protocol, got-before)
		}
	}
}

// TestNoCallAfterTheMark needs no clock: a flag is raised when a caller has
// processed the mark (a call returned and the instance closes); no call that begins later may reach
// the incarnation, whichever reference or goroutine makes it.
func TestNoCallAfterTheMark(t *testing.T) {
	for _, protocol := range protocols {
		for range 20 {
			r := newRig(t, protocol, "", "")
			leaving := r.nodes[0]
			leaving.marks(protocol, tag.StateClosing+";"+leaving.e.Incarnation)
			var processed atomic.Bool
			var late atomic.Int64
			mark := leaving.answer
			type began struct{}
			leaving.answer = func(ctx context.Context, inv base.Invocation) result.Result {
				if ctx.Value(began{}) == true {
					late.Add(1)
				}
				return mark(ctx, inv)
			}
			var wg sync.WaitGroup
			for range 6 {
				wg.Go(func() {
					for range 100 {
						was := processed.Load()
						ctx := context.WithValue(context.Background(), began{}, was)
						if err := r.Invoke(ctx, call1("Place", nil)).Error(); err != nil {
							t.Error(err)
						}
						if leaving.e.Closing() { // by this answer, or by an earlier one
							processed.Store(true)
						}
					}
				})
			}
			wg.Wait()
			if late.Load() > 0 {
				t.Fatalf("%s: %d calls began after the mark was processed", protocol, late.Load())
			}
		}
	}
}

// TestWarmingMark: the first answer sets the age; no mark says warm.
func TestWarmingMark(t *testing.T) {
	for _, protocol := range protocols {
		for _, tc := range []struct {
			state string
			warm  bool
			age   time.Duration
		}{{"warming;30000", false, 30 * time.Second}, {"warming;-1", false, 0}, {"warming;x", false, 0}, {"", true, 0}} {
			r := newRig(t, protocol)
			n := newNode(t, "", "")
			id := incarnationOf(addresses.Add(1))
			i := endpoint.Shared.Acquire(n.e.Address, id, "order", endpoint.Birth{Start: time.Now(), Window: time.Minute})
			t.Cleanup(func() { endpoint.Shared.Release(i) })
			n.e = &endpoint.Endpoint{Instance: i, Invoker: n, Weight: 100}
			if tc.state != "" {
				n.marks(protocol, tc.state)
			}
			r.set(n)
			if err := r.call(nil); err != nil {
				t.Fatal(err)
			}
			if got := i.Warm(); got != tc.warm {
				t.Errorf("%s, mark %q: warm = %t, want %t", protocol, tc.state, got, tc.warm)
			}
			if !tc.warm && (i.Age() < tc.age || i.Age() > tc.age+10*time.Second) {
				t.Errorf("%s, mark %q: age %v, want %v", protocol, tc.state, i.Age(), tc.age)
			}
		}
	}
}

// TestLastOne: the only instance, closing, serves until it refuses; then the
// caller sees the refusal. With nothing to serve it sees dubbo-go's words.
func TestLastOne(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "")
		r.nodes[0].e.MarkClosing()
		if err := r.call(nil); err != nil {
			t.Errorf("%s: a closing instance did not serve: %v", protocol, err)
		}
		r.nodes[0].refuses(protocol, tag.RefusedClosing)
		err := r.call(nil)
		if v := judge(err); v.outcome != endpoint.Refused {
			t.Errorf("%s: %v, want the refusal", protocol, err)
		}
		before := ReadStats().NoEndpoint
		r.set()
		if err = r.call(wanting("gray")); !errors.Is(err, endpoint.ErrNoEndpoint) || !contains(err, "No provider available") || !contains(err, service) || !contains(err, `"gray"`) {
			t.Errorf("%s: %v, want No provider available, the service, the tag, ErrNoEndpoint", protocol, err)
		}
		if got := ReadStats().NoEndpoint - before; got != 1 {
			t.Errorf("%s: counted %d calls without endpoint, want 1", protocol, got)
		}
		if r.IsAvailable(); r.Invoker.IsAvailable() {
			t.Errorf("%s: available without endpoint", protocol)
		}
	}
}

// TestPanic: the call is counted out, as unknown; the panic goes on.
func TestPanic(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "")
	r.nodes[0].answer = func(context.Context, base.Invocation) result.Result { panic("handler") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = r.call(nil)
	}()
	r.nodes[0].checkBooks(t, 1, 0, 0, 1, 0)
}

// TestStreams: never rerouted after a refusal, and nothing is written for them
// that asks for reroutes.
func TestStreams(t *testing.T) {
	for _, kind := range []string{constant.CallClientStream, constant.CallServerStream, constant.CallBidiStream} {
		r := newRig(t, constant.TriProtocol, "", "")
		for _, n := range r.nodes {
			n.refuses(constant.TriProtocol, tag.RefusedClosing)
		}
		inv := call1("Watch", nil)
		inv.SetAttribute(constant.CallTypeKey, kind)
		if err := r.Invoke(context.Background(), inv).Error(); judge(err).outcome != endpoint.Refused {
			t.Errorf("%s: %v, want the refusal", kind, err)
		}
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts, want 1", kind, got)
		}
		for _, n := range r.nodes {
			for _, told := range n.told {
				if told[tag.KeyCaller] != nil {
					t.Errorf("%s: told %v", kind, told)
				}
			}
		}
	}
}

// TestFallbacks are counted by reason, once a call, also when only a reroute
// falls back.
func TestFallbacks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tags   []string
		wanted string
		change func(*rig)
		reason tagrouter.Reason
	}{
		{"lane", []string{"gray", ""}, "gray", func(*rig) {}, ""},
		{"no instance", []string{""}, "gray", func(*rig) {}, tagrouter.NoInstance},
		{"closing", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].e.MarkClosing() }, tagrouter.Closing},
		{"outlier", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].e.SetOutlier(true) }, tagrouter.Outlier},
		{"refused, then baseline", []string{"gray", ""}, "gray", func(r *rig) { r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing) }, tagrouter.Closing},
		{"two refused, then baseline", []string{"gray", "gray", ""}, "gray", func(r *rig) {
			r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing)
			r.nodes[1].refuses(constant.TriProtocol, tag.RefusedClosing)
		}, tagrouter.Closing},
		{"untagged", []string{"prod"}, "", func(*rig) {}, tagrouter.Untagged},
		{"none wanted", []string{"", "gray"}, "", func(*rig) {}, ""},
	} {
		r := newRig(t, constant.TriProtocol, tc.tags...)
		tc.change(r)
		r.view.refresh()
		before := ReadStats().Fallbacks
		ctx, _ := tag.WithPath(context.Background())
		if err := r.Invoke(ctx, call1("Place", wanting(tc.wanted))).Error(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for reason, n := range ReadStats().Fallbacks {
			want := int64(0)
			if reason == tc.reason {
				want = 1
			}
			if n-before[reason] != want {
				t.Errorf("%s: fallback %q counted %d times, want %d", tc.name, reason, n-before[reason], want)
			}
		}
		want := "1"
		if tc.reason != "" {
			want += ";" + string(tc.reason)
		}
		served := r.nodes[len(r.nodes)-1]
		if tc.name == "lane" || tc.name == "none wanted" {
			served = r.nodes[0]
		}
		if got := served.lastTold(t)[tag.KeyPath]; got != want {
			t.Errorf("%s: graylane-path %v, want %s", tc.name, got, want)
		}
	}
}

// TestTold: graylane-caller names caller and incarnation, anew for each endpoint;
// graylane-path only when asked for.
func TestTold(t *testing.T) {
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "")
		for _, n := range r.nodes {
			n.refuses(protocol, tag.RefusedNotReady)
		}
		_ = r.call(nil)
		for _, n := range r.nodes {
			told := n.lastTold(t)
			if want := CallerHeader("gateway", n.e.Incarnation); told[tag.KeyCaller] != want {
				t.Errorf("%s: graylane-caller %v, want %v", protocol, told[tag.KeyCaller], want)
			}
			if told[tag.KeyPath] != nil {
				t.Errorf("%s: graylane-path %v without being asked", protocol, told[tag.KeyPath])
			}
		}
	}
	// A peer that publishes no incarnation after one that does is told nothing.
	r := newRig(t, constant.TriProtocol, "", "")
	r.nodes[0].refuses(constant.TriProtocol, tag.RefusedClosing)
	plain := r.nodes[1]
	plain.e = &endpoint.Endpoint{Instance: plain.e.Instance, Invoker: plain, Weight: 100}
	r.set(r.nodes[0], plain)
	for r.nodes[0].calls.Load() == 0 {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	if got := plain.lastTold(t)[tag.KeyCaller]; got != nil && got != "" {
		t.Errorf("a plain peer was told %v", got)
	}
	if CallerHeader("gateway", "") != nil {
		t.Error("a header for a peer without incarnation")
	}
}

// TestReferenceTag: the reference's own tag is what calls want that name none.
func TestReferenceTag(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "gray")
	r.url.SubURL.SetParam(tag.KeyTag, "gray")
	r.view.close()
	r.Invoker = New(r, r)
	t.Cleanup(r.view.close)
	for range 10 {
		if err := r.call(nil); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := r.nodes[0].calls.Load(), r.nodes[1].calls.Load(); a != 0 || b != 10 {
		t.Errorf("baseline %d, gray %d; want 0 and 10", a, b)
	}
}

// TestDeadline: on dubbo the attachment carries what is left, at most the
// reference's timeout; a dead context ends the reroutes.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tc := range []struct {
			own      string
			deadline time.Duration
			want     string
		}{{"", 0, "3s"}, {"", time.Second, "1s"}, {"", 10 * time.Second, "3s"}, {"500ms", 10 * time.Second, "500ms"}, {"500ms", 100 * time.Millisecond, "100ms"}} {
			c := call{ctx: context.Background(), timeout: tc.own}
			if tc.deadline > 0 {
				var cancel context.CancelFunc
				c.ctx, cancel = context.WithTimeout(c.ctx, tc.deadline)
				defer cancel()
			}
			if got := c.remaining("3s"); got != tc.want {
				t.Errorf("own %q, deadline %v: timeout %q, want %q", tc.own, tc.deadline, got, tc.want)
			}
		}
	})
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "", "")
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		for _, n := range r.nodes {
			n.answer = func(context.Context, base.Invocation) result.Result {
				cancel()
				return &result.RPCResult{Err: refusalOf(protocol, tag.RefusedNotReady, "")}
			}
		}
		_ = r.Invoke(ctx, call1("Place", nil))
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts after the context's end, want 1", protocol, got)
		}
	}
}

// TestBudget on a virtual clock: 10 at the start, 10 a second, a share of the
// calls, at most 100 saved.
func TestBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget()
		spend := func(share float64) (n int) {
			for b.spend(share) {
				n++
			}
			return n
		}
		for _, step := range []struct {
			name  string
			wait  time.Duration
			calls int64
			want  int
		}{
			{"start", 0, 0, 10},
			{"at once", 0, 0, 0},
			{"one nanosecond before the next", 100*time.Millisecond - 1, 0, 0},
			{"the next", 1, 0, 1},
			{"a second", time.Second, 0, 10},
			{"20 % of 100 calls", 0, 100, 20},
			{"four calls are less than one", 0, 4, 0},
			{"the fifth", 0, 1, 1},
			{"saved up", time.Hour, 1_000_000, 100},
		} {
			time.Sleep(step.wait)
			b.calls.Add(step.calls)
			if got := spend(0.2); got != step.want {
				t.Errorf("%s: %d, want %d", step.name, got, step.want)
			}
		}
	})
}

func TestInvokeAllocs(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "", "gray")
	inv := call1("Place", wanting("gray"))
	ctx := context.Background()
	good := &result.RPCResult{Rest: "ok"}
	direct := r.nodes[2]
	direct.e.Calibrate(false, 0)
	fixedNode := &still{res: good}
	e := &endpoint.Endpoint{Instance: direct.e.Instance, Invoker: fixedNode, Tag: "gray", Weight: 100, Caller: direct.e.Caller}
	r.mu.Lock()
	r.list = []*endpoint.Endpoint{e}
	r.mu.Unlock()
	r.view.refresh()
	r.Invoke(ctx, inv)
	if n := testing.AllocsPerRun(200, func() { r.Invoke(ctx, inv) }); n > 0 {
		t.Errorf("%v allocations a call beside the endpoint's own, want 0", n)
	}
}

// still answers without allocating.
type still struct {
	base.BaseInvoker
	res result.Result
}

func (s *still) Invoke(context.Context, base.Invocation) result.Result { return s.res }
