// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/refusal"
)

// TestBooksAddUp: handlers that answer, panic, return nothing or are kept back by a
// limit, called over both protocols by four callers, two of whom cannot reroute, while
// the instance closes and begins to refuse. Each caller's book says what its handlers
// did, every call is in it once, and nothing stays in flight.
func TestBooksAddUp(t *testing.T) {
	const callers, workers, calls = 4, 8, 500
	type did struct{ completed, aborted, limited, refused atomic.Int64 }
	type ask struct {
		who int
		ran bool
	}
	g := NewGate(thisProcess)
	f := map[string]*Filter{constant.TriProtocol: New(g), constant.DubboProtocol: New(g)}
	var books [callers]did
	ids := [callers]string{"web-0", "web-1", "10.0.0.2", "10.0.0.3"}
	services := map[string]*handler{}
	for protocol := range f {
		services[protocol] = newService(protocol, func(inv base.Invocation) result.Result {
			v, _ := inv.GetAttribute("asked")
			asked := v.(*ask)
			asked.ran = true
			b := &books[asked.who]
			switch rand.IntN(4) {
			case 0:
				b.aborted.Add(1)
				panic("handler")
			case 1:
				b.completed.Add(1)
				return nil
			case 2:
				b.limited.Add(1)
				return refusal.Overloaded(protocol == constant.TriProtocol)
			}
			b.completed.Add(1)
			return echo(inv)
		})
	}
	var ended atomic.Int64
	var over sync.WaitGroup
	for w := range workers {
		over.Go(func() {
			for n := range calls {
				who := (w + n) % callers
				attachments := map[string]any{"dubbo": "2.0.2", constant.RemoteAddr: ids[who] + ":4242"}
				if who < 2 {
					attachments[tag.KeyCaller] = ids[who] + ";" + thisProcess
				}
				inv := request(attachments)
				asked := &ask{who: who}
				inv.SetAttribute("asked", asked)
				protocol := []string{constant.TriProtocol, constant.DubboProtocol}[rand.IntN(2)]
				func() {
					defer func() { _ = recover() }() // counted by the handler
					f[protocol].Invoke(context.Background(), services[protocol], inv)
				}()
				if !asked.ran {
					books[who].refused.Add(1)
				}
				switch ended.Add(1) { // closes after one third of the calls, refuses after two
				case workers * calls / 3:
					g.Close()
				case workers * calls * 2 / 3:
					g.Refuse()
				}
			}
		})
	}
	over.Wait()

	s := g.Snapshot()
	if s.InFlight != 0 || g.InFlight() != 0 || len(s.Running) != 0 {
		t.Fatalf("in flight %d, running %+v; want none", s.InFlight, s.Running)
	}
	if err := g.WaitIdle(t.Context()); err != nil {
		t.Errorf("not idle: %v", err)
	}
	if len(s.Callers) != callers {
		t.Fatalf("%d callers, want %d", len(s.Callers), callers)
	}
	got := map[string]Caller{}
	for _, c := range s.Callers {
		got[c.ID] = c
	}
	for who, id := range ids {
		c, b := got[id], &books[who]
		want := fmt.Sprint(b.completed.Load(), b.aborted.Load(), b.limited.Load()+b.refused.Load())
		if is := fmt.Sprint(c.Completed, c.Aborted, c.Refused); is != want {
			t.Errorf("%s: completed, aborted, refused %s; its handlers and the gate did %s", id, is, want)
		}
		if c.Accepted != c.Completed+c.Aborted || c.Accepted+c.Refused != workers*calls/callers || c.AfterMark > c.Accepted {
			t.Errorf("%s: %+v, want accepted = completed + aborted, and %d calls", id, c, workers*calls/callers)
		}
		if reroutes := who < 2; c.Reroutes != reroutes || (b.refused.Load() > 0) != reroutes || c.Informed.IsZero() {
			t.Errorf("%s: %+v, kept from its handler %d times; only who reroutes is", id, c, b.refused.Load())
		}
		if c.AfterMark == 0 || b.aborted.Load() == 0 || b.limited.Load() == 0 {
			t.Errorf("%s: %+v: something was not tried", id, c)
		}
	}
}
