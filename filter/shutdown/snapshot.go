// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"cmp"
	"slices"
	"time"
)

// Snapshot is what a gate's books say at one time. Each counter is read once, one
// after the other: sums of counters that are still moving may be off by the calls
// of that moment.
type Snapshot struct {
	Marked       time.Time // when Close was called; zero before
	InFlightMark int64     // calls in flight at the mark
	InFlight     int64
	LastStart    time.Time // the last call whose handler ran; zero if none
	LastEnd      time.Time // the last end of a call after the mark; zero if none
	Callers      []Caller  // sorted by id
	Running      []Running // what is in flight, sorted by caller and method
}

// Caller is the book of one caller.
type Caller struct {
	ID        string
	Reroutes  bool   // it sent graylane-caller, meant for this incarnation
	Accepted  uint64 // handlers started
	Completed uint64 // handlers returned
	Aborted   uint64 // handlers that panicked
	Refused   uint64 // answered "not executed"
	AfterMark uint64 // of the accepted, those started after the mark
	LastStart time.Time
	// Informed is when the caller knew that the instance is leaving: a marked answer
	// was written to it, or, if it only uses Triple, it said that it has heard
	// NOT_SERVING. Zero: not yet.
	Informed time.Time
	// Left is when the caller said that it ends. Zero: it has not.
	Left time.Time
}

// Running counts the calls in flight of one caller to one method.
type Running struct {
	Caller, Method string // Method is "interface/Method"
	Count          int64
}

// Snapshot reads the books.
func (g *Gate) Snapshot() Snapshot {
	s := Snapshot{
		Marked:       g.at(g.markedAt.Load()),
		InFlightMark: g.atMark.Load(),
		InFlight:     g.inflight.Count(),
		LastStart:    g.at(g.lastStart.Load()),
		LastEnd:      g.at(g.lastEnd.Load()),
	}
	g.callers.all(func(c *caller) {
		s.Callers = append(s.Callers, Caller{
			ID:        c.id,
			Reroutes:  c.reroutes,
			Accepted:  c.accepted.Load(),
			Completed: c.completed.Load(),
			Aborted:   c.aborted.Load(),
			Refused:   c.refused.Load(),
			AfterMark: c.afterMark.Load(),
			LastStart: g.at(c.lastStart.Load()),
			Informed:  g.at(c.informed.Load()),
			Left:      g.at(c.left.Load()),
		})
		for m, n := range *c.methods.cur.Load() {
			if n := n.Load(); n > 0 {
				name := m.name
				if m.service != "" {
					name = m.service + "/" + m.name
				}
				s.Running = append(s.Running, Running{Caller: c.id, Method: name, Count: n})
			}
		}
	})
	slices.SortFunc(s.Callers, func(a, b Caller) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(s.Running, func(a, b Running) int {
		return cmp.Or(cmp.Compare(a.Caller, b.Caller), cmp.Compare(a.Method, b.Method))
	})
	return s
}
