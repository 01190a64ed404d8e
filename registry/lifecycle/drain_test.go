// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// instance is a provider without a network: a gate and a handler of a given
// duration behind the filter.
type instance struct {
	gate   *shutdown.Gate
	filter *shutdown.Filter
	base.BaseInvoker
}

func newInstance(protocol string) *instance {
	g := shutdown.NewGate("0123456789abcdef")
	u := common.NewURLWithOptions(common.WithProtocol(protocol), common.WithPath("/shop.Cart"), common.WithInterface("shop.Cart"))
	return &instance{gate: g, filter: shutdown.New(g), BaseInvoker: *base.NewBaseInvoker(u)}
}

type handlerTime struct{}

func (i *instance) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	time.Sleep(ctx.Value(handlerTime{}).(time.Duration))
	r := &result.RPCResult{Rest: "ok"}
	r.SetAttachments(inv.Attachments())
	return r
}

// call runs one call and reports whether it was refused.
func (i *instance) call(caller string, takes time.Duration) (refused bool) {
	attachments := map[string]any{"dubbo": "2.0.2"}
	if caller != "" {
		attachments[tag.KeyCaller] = caller + ";0123456789abcdef"
	}
	inv := invocation.NewRPCInvocation("Get", nil, attachments)
	return i.filter.Invoke(context.WithValue(context.Background(), handlerTime{}, takes), i, inv).Error() != nil
}

// answer is what a caller sends that has heard NOT_SERVING.
func (i *instance) answer(caller string) {
	inv := invocation.NewRPCInvocation("Check", nil, map[string]any{
		tag.KeyCaller: []string{caller + ";0123456789abcdef"}, tag.KeyState: []string{"closing;0123456789abcdef"}, // as Triple has them
	})
	shutdown.NewWatch(i.gate).Invoke(context.WithValue(context.Background(), handlerTime{}, time.Duration(0)), i, inv)
}

var drainSettings = conf.Shutdown{QuietPeriod: time.Second, Notice: 10 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second}

// The steps of a drain on a virtual time line; the instance is marked at 0.
func TestDrainSteps(t *testing.T) {
	const ms = time.Millisecond
	type call struct {
		at, takes time.Duration
		caller    string // "" cannot reroute
		refused   bool
	}
	for _, tc := range []struct {
		name       string
		protocol   string
		calls      []call
		knows      string // the caller that answers NOT_SERVING
		deregister func() error
		want       time.Duration
		uninformed string
		accepted   uint64
		abandoned  int
	}{
		{name: "no callers: quiet period", protocol: "tri", want: time.Second},
		{
			name: "triple callers are told at once", protocol: "tri", accepted: 2, knows: "a",
			calls: []call{{at: -ms, takes: 0, caller: "a"}, {at: 10 * ms, takes: 0, caller: "a"}},
			want:  time.Second + 10*ms,
		},
		{
			name: "a triple caller that hangs gets the notice", protocol: "tri", accepted: 2, knows: "a",
			calls: []call{{at: -ms, takes: 0, caller: "a"}, {at: -time.Second, takes: 0, caller: "hangs"}},
			want:  10 * time.Second, uninformed: "hangs",
		},
		{
			name: "what a caller of both protocols knows of triple is not enough", protocol: "dubbo", accepted: 1, knows: "a",
			calls: []call{{at: -ms, takes: 0, caller: "a"}},
			want:  10 * time.Second, uninformed: "a",
		},
		{
			name: "ends when the last call has returned, and its answer got out", protocol: "tri", accepted: 1, knows: "a",
			calls: []call{{at: -ms, takes: 4 * time.Second, caller: "a"}},
			want:  4*time.Second - ms + flushFor,
		},
		{
			name: "dubbo: informed by the first answer", protocol: "dubbo", accepted: 1,
			calls: []call{{at: -ms, takes: 500 * ms, caller: "a"}},
			want:  time.Second + 499*ms,
		},
		{
			name: "a plain caller is served for the notice", protocol: "tri", accepted: 2,
			calls: []call{{at: -ms, takes: 0}, {at: 9900 * ms, takes: 0}},
			want:  10*time.Second + 100*ms, // its answer at 9.9s gets 200ms to get out
		},
		{
			name: "a caller that does not listen is served for the notice, then refused", protocol: "tri", accepted: 3, knows: "deaf",
			calls: []call{
				{at: -ms, takes: 0, caller: "deaf"},
				{at: 900 * ms, takes: 0, caller: "deaf"},
				{at: 9900 * ms, takes: 300 * ms, caller: "deaf"},
				{at: 10100 * ms, takes: 0, caller: "deaf", refused: true},
			},
			want: 10200*ms + flushFor,
		},
		{
			name: "a plain caller is served to the end", protocol: "tri", accepted: 3,
			calls: []call{
				{at: -ms, takes: 0},
				{at: 9900 * ms, takes: 300 * ms},
				{at: 10100 * ms, takes: 0},
			},
			want: 10200*ms + flushFor,
		},
		{
			name: "a registry that hangs delays nobody who was told", protocol: "tri", accepted: 1, knows: "a",
			calls:      []call{{at: -ms, takes: 5 * time.Second, caller: "a"}},
			deregister: func() error { time.Sleep(time.Hour); return nil },
			want:       5*time.Second - ms + flushFor,
		},
		{
			name: "a registry that fails is as good as one that answers", protocol: "tri",
			deregister: func() error { return errors.New("connection refused") },
			want:       time.Second,
		},
		{
			name: "a registry that panics too", protocol: "tri",
			deregister: func() error { panic("nil map") },
			want:       time.Second,
		},
		{
			name: "the notice counts from the registry's bound", protocol: "tri", accepted: 1,
			calls:      []call{{at: -ms, takes: 0}},
			deregister: func() error { time.Sleep(time.Hour); return nil },
			want:       12 * time.Second,
		},
		{
			name: "the timeout ends it all", protocol: "tri", accepted: 1, abandoned: 1,
			calls: []call{{at: -ms, takes: 40 * time.Second, caller: "a"}},
			want:  25 * time.Second,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				i := newInstance(tc.protocol)
				time.Sleep(10 * time.Minute)
				mark := time.Now().Add(time.Second)
				for _, c := range tc.calls {
					time.AfterFunc(time.Until(mark.Add(c.at)), func() {
						if refused := i.call(c.caller, c.takes); refused != c.refused {
							t.Errorf("call at %v: refused %v, want %v", c.at, refused, c.refused)
						}
					})
				}
				time.Sleep(time.Until(mark))
				d := drain{cfg: drainSettings, gate: i.gate, tell: func(context.Context) error { i.answer(tc.knows); return nil }}
				if tc.deregister != nil {
					d.targets = []target{{"test", tc.deregister}}
				}
				o := d.run()
				if !o.marked.Equal(mark) {
					t.Errorf("marked at %v, want %v", o.marked, mark)
				}
				if got := o.drained.Sub(mark); got != tc.want {
					t.Errorf("drained %v after the mark, want %v", got, tc.want)
				}
				r := newReport("cart", nil, i.gate.Snapshot(), o)
				if r.Accepted != tc.accepted || len(r.Abandoned) != tc.abandoned || r.Accepted != r.Completed+r.Aborted {
					t.Errorf("books: %s; want %d accepted, %d abandoned, nothing missing", r, tc.accepted, tc.abandoned)
				}
				if got := strings.Join(r.Uninformed, " "); got != tc.uninformed && tc.uninformed != "" {
					t.Errorf("uninformed %q, want %q", got, tc.uninformed)
				}
				time.Sleep(2 * time.Hour) // what hangs ends, or the bubble complains
			})
		})
	}
}

// Deregistration goes to all registries at once.
func TestDeregisterAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstance("tri")
		d := drain{cfg: drainSettings, gate: i.gate}
		for range 5 {
			d.targets = append(d.targets, target{"test", func() error { time.Sleep(700 * time.Millisecond); return nil }})
		}
		o := d.run()
		if got := o.deregistered.Sub(o.marked); got != 700*time.Millisecond {
			t.Errorf("deregistered after %v, want 700ms", got)
		}
	})
}

// A drain that is over before its registries waits for their bound, no longer.
func TestDrainWaitsForDeregistration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := newInstance("tri")
		start := time.Now()
		d := drain{cfg: drainSettings, gate: i.gate, targets: []target{{"test", func() error { time.Sleep(time.Minute); return nil }}}}
		d.run()
		if got := time.Since(start); got != drainSettings.RegistryTimeout {
			t.Errorf("returned after %v, want the registry's bound of %v", got, drainSettings.RegistryTimeout)
		}
		time.Sleep(time.Hour)
	})
}
