// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"context"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/inflight"
	"github.com/graylane/graylane/internal/self"
)

// The states of a gate. They only grow.
const (
	serving int32 = iota
	closing
	refusing
)

// process is the gate of every filter that dubbo-go makes.
var process = NewGate(self.Incarnation()) //nolint:gochecknoglobals // dubbo-go makes filters without arguments, and all must share one gate

// Incarnation returns 16 hex digits, drawn at random once a process.
func Incarnation() string { return process.incarnation }

// Process returns the gate that all filters of this process share.
func Process() *Gate { return process }

// Gate holds the state and the books of one provider process.
type Gate struct {
	// The following fields are immutable.
	incarnation string
	born        time.Time // carries the monotonic clock: all offsets below count from it
	closingMark string
	changed     chan struct{}
	ended       context.Context    // ends with End
	end         context.CancelFunc // ends it

	state     atomic.Int32
	inflight  inflight.Counter
	callers   callers
	lastStart atomic.Int64 // offset of the last call whose handler ran
	lastEnd   atomic.Int64 // offset of the last end after the mark
	markedAt  atomic.Int64
	atMark    atomic.Int64 // calls in flight at the mark
	warming   atomic.Pointer[warming]
}

// warming is the part of a gate's life in which answers carry its age.
type warming struct{ from, until time.Duration }

// NewGate returns a serving gate. Production uses [Process]; tests make their own.
func NewGate(incarnation string) *Gate {
	g := &Gate{
		incarnation: incarnation,
		born:        time.Now(),
		closingMark: tag.StateClosing + ";" + incarnation,
		changed:     make(chan struct{}, 1),
	}
	g.ended, g.end = context.WithCancel(context.Background())
	g.callers.init()
	return g
}

// now is an offset that is never zero: zero means "not yet".
func (g *Gate) now() int64 { return int64(time.Since(g.born)) + 1 }

// at turns an offset back into a time, the zero time for "not yet".
func (g *Gate) at(offset int64) time.Time {
	if offset == 0 {
		return time.Time{}
	}
	return g.born.Add(time.Duration(offset - 1))
}

// Warm says since when the instance is ready: until window has passed, answers
// carry the instance's age. A window of 0 or less ends that.
func (g *Gate) Warm(since time.Time, window time.Duration) {
	if window <= 0 {
		g.warming.Store(nil)
		return
	}
	from := since.Sub(g.born)
	g.warming.Store(&warming{from: from, until: from + window})
}

// Close marks the instance as leaving: from now on answers say so. Calls are
// still served. Closing again does nothing.
func (g *Gate) Close() {
	now, running := g.now(), g.inflight.Count()
	if g.state.CompareAndSwap(serving, closing) {
		g.markedAt.Store(now)
		g.atMark.Store(running)
	}
}

// Refuse begins to refuse the callers that can reroute.
func (g *Gate) Refuse() {
	g.Close()
	g.state.Store(refusing)
}

// End says that the drain is over: what streams are left of dubbo-go's own
// services (see [WatchName]) end now. Ending again does nothing.
func (g *Gate) End() { g.end() }

// Closing reports whether the instance is leaving.
func (g *Gate) Closing() bool { return g.state.Load() != serving }

// InFlight returns the number of calls whose handler is running.
func (g *Gate) InFlight() int64 { return g.inflight.Count() }

// WaitIdle returns nil as soon as no call was in flight, else the error of ctx.
func (g *Gate) WaitIdle(ctx context.Context) error { return g.inflight.WaitZero(ctx) }

// Changed receives when a caller has become informed or has left, so that whoever waits for
// that looks at the next [Gate.Snapshot].
func (g *Gate) Changed() <-chan struct{} { return g.changed }

func (g *Gate) poke() {
	select {
	case g.changed <- struct{}{}:
	default:
	}
}

// enter counts a call in, or refuses it. The call is in flight before the state
// is looked at, so that none slips through after a wait for idle. marked reports
// that the instance was leaving already.
func (g *Gate) enter(c *caller, now int64) (entered, marked bool) {
	g.inflight.Add()
	state := g.state.Load()
	if state == refusing && c.reroutes {
		c.refused.Add(1)
		g.inflight.Done()
		return false, true
	}
	c.accepted.Add(1)
	c.lastStart.Store(now)
	g.lastStart.Store(now)
	if state != serving {
		c.afterMark.Add(1)
	}
	return true, state != serving
}

// How a call that entered has left.
type end int

const (
	aborted   end = iota // the handler panicked
	completed            // it returned
	refused              // a limit kept the call from it
)

// leave counts a call out. One that a limit refused was not accepted after all.
func (g *Gate) leave(c *caller, running *atomic.Int64, how end, marked bool) {
	switch how {
	case completed:
		c.completed.Add(1)
	case refused:
		c.refused.Add(1)
		c.accepted.Add(^uint64(0))
		if marked {
			c.afterMark.Add(^uint64(0))
		}
	default:
		c.aborted.Add(1)
	}
	running.Add(-1)
	if g.state.Load() != serving {
		g.lastEnd.Store(g.now())
	}
	g.inflight.Done()
}

// mark returns what the answer must say, "" while there is nothing to say.
func (g *Gate) mark() string {
	if g.state.Load() != serving {
		return g.closingMark
	}
	w := g.warming.Load()
	if w == nil {
		return ""
	}
	age := time.Since(g.born)
	if age >= w.until {
		g.warming.CompareAndSwap(w, nil)
		return ""
	}
	return tag.StateWarming + ";" + strconv.FormatInt(max(age-w.from, 0).Milliseconds(), 10)
}

// heard notes that a caller, named as in graylane-caller, said that it knows. What it
// knows is about Triple: it does not count for one that also calls over a protocol that
// NOT_SERVING does not reach, at another address.
func (g *Gate) heard(name string) {
	if c := g.callers.cur.Load().believed[name]; c != nil && !c.overDubbo.Load() {
		g.informed(c)
	}
}

// left notes that a caller, named as in graylane-caller, said that it ends.
func (g *Gate) left(name string) {
	if c := g.callers.cur.Load().believed[name]; c != nil {
		c.left.Store(g.now())
		g.poke()
	}
}

// informed notes that c has been sent a closing mark, or has said that it knows.
func (g *Gate) informed(c *caller) {
	if c.informed.Load() == 0 && c.informed.CompareAndSwap(0, g.now()) {
		g.poke()
	}
}
