// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/need"
)

var (
	soakFor  = flag.Duration("soak", 0, "how long TestSoak lets random events happen, 0 for not at all; 5m at most with -short")
	soakSeed = flag.Uint64("seed", 0, "what TestSoak draws its cell, its events and its pauses from; 0 draws one")
)

// The shape of a soak.
const (
	soakShort = 5 * time.Minute
	maxPause  = 6 * time.Second // between two events, besides what a sample wants
	calm      = 3 * time.Second // before a sample: what an event leaves for a moment is gone
)

var soaked = pace{rate: 300, timeout: time.Second, callers: 3, steady: 2}

// TestSoak lets random events happen to one cell for a long time. It judges
//   - each event by its own row, and the time between events: no call may fail, none
//     be executed twice, in or out of an event, now or later, but for what the event
//     excuses;
//   - goroutines, memory and descriptors of the consumers, and of two providers to
//     which nothing happens, by the end against the beginning;
//   - the consumers' connections, after each event.
func TestSoak(t *testing.T) {
	d := *soakFor
	switch {
	case d == 0:
		t.Skip("takes long: make soak") //nolint:forbidigo // nothing is missing: nobody asked for it with -soak
	case testing.Short():
		d = min(d, soakShort)
	}
	_, err := os.Stat("/proc/self/net/tcp") // what a process holds is read from /proc
	need.Part(t, err)
	seed := *soakSeed
	for seed == 0 {
		seed = rand.Uint64() >> 32
	}
	known(t)
	p := newPlan(seed, soakEvents())
	c := p.cell()
	t.Logf("seed %d: %v in %s; again: -soak %v -seed %d -cells %s", seed, d, c, d, seed, c)
	s := startSoak(t, c)
	began := time.Now()
	n := 0
	for time.Since(began) < d {
		n++
		pause, e, order := p.next(len(s.slots))
		s.step(n, pause, e, order)
	}
	s.end(n)
}

// soakEvents are those that can happen to a fleet that goes on afterwards; of these
// those that -events names, if it names any.
func soakEvents() []event {
	return slices.DeleteFunc(events(), func(e event) bool { return e.own || *which != "ci" && !chosen(e) })
}

// plan is what happens in a soak, drawn from its seed and from nothing else: the same
// seed, cells and events make the same plan. How long an event takes is not planned.
type plan struct {
	random *rand.Rand
	events []event
	deck   []event
}

func newPlan(seed uint64, list []event) *plan {
	return &plan{random: rand.New(rand.NewPCG(seed, 0)), events: list}
}

// cell draws one of those that -cells names, or of all.
func (p *plan) cell() cell {
	list := namedCells()
	return list[p.random.IntN(len(list))]
}

// next draws a pause, an event, and the order in which the slots stand for it, since
// an event takes the first one, or the second. All events come before one comes again.
func (p *plan) next(slots int) (pause time.Duration, e event, order []int) {
	if len(p.deck) == 0 {
		for _, n := range p.random.Perm(len(p.events)) {
			p.deck = append(p.deck, p.events[n])
		}
	}
	e, p.deck = p.deck[0], p.deck[1:]
	return time.Duration(p.random.Int64N(int64(maxPause))).Round(time.Millisecond), e, p.random.Perm(slots)
}

func TestPlanReplays(t *testing.T) {
	draw := func(seed uint64) string {
		p := newPlan(seed, soakEvents())
		var b strings.Builder
		b.WriteString(p.cell().String())
		for range 40 {
			pause, e, order := p.next(providers)
			fmt.Fprintln(&b, pause, e.name, order)
		}
		return b.String()
	}
	first, again := draw(7), draw(7)
	if first != again {
		t.Error("the same seed gives two plans")
	}
	if first == draw(8) {
		t.Error("two seeds give the same plan")
	}
	for _, e := range soakEvents() {
		if !strings.Contains(first, e.name) {
			t.Errorf("%s never happens", e.name)
		}
	}
}
