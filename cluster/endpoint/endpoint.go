// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"sync"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// Endpoint is an instance for one service. Its exported fields are set before
// it is published and not changed after.
type Endpoint struct {
	// What a push and a new snapshot look at: one line of the processor's cache, of
	// which they fetch thousands.
	*Instance
	of       *Endpoint // whose calls and end this one shares, nil: it has its own
	removed  atomic.Bool
	inflight atomic.Int64
	said     atomic.Pointer[common.URL]
	// Weight is its share when warm, relative to the others; 0 gets no calls
	// unless all have 0.
	Weight float64
	// Tag is the lane that the instance is in, "" for the baseline.
	Tag string

	// Invoker sends a call to it.
	Invoker base.Invoker
	// Caller is sent to it as graylane-caller, boxed once; nil: it would not believe it.
	Caller  any
	retired atomic.Pointer[func()]
	retire  sync.Once
}

// Said returns the provider's own URL as its registry last listed it, without what
// the reference says; nil if nobody noted it.
func (e *Endpoint) Said() *common.URL { return e.life().said.Load() }

// SetSaid notes the provider's own URL.
func (e *Endpoint) SetSaid(u *common.URL) { e.life().said.Store(u) }

// With returns the endpoint under another tag or weight. Both count their calls
// together and are retired and removed together.
func (e *Endpoint) With(tag string, weight float64) *Endpoint {
	return &Endpoint{Instance: e.Instance, Invoker: e.Invoker, Caller: e.Caller, Tag: tag, Weight: weight, of: e.life()}
}

func (e *Endpoint) life() *Endpoint {
	if e.of != nil {
		return e.of
	}
	return e
}

// Outcome is how a call ended, for the ledger.
type Outcome uint8

// The outcomes. Failed calls are known not to have left this process.
const (
	Answered Outcome = iota
	Refused
	Failed
	Unknown
)

// SetRemoved says that the registry no longer lists the endpoint, or lists it
// again: while removed it counts as closing. It differs from
// [Instance.MarkClosing] in that a registry may change its mind.
func (e *Endpoint) SetRemoved(removed bool) { e.life().removed.Store(removed) }

// Closing reports that the endpoint said, or showed, that it leaves, or that the
// registry no longer lists it.
func (e *Endpoint) Closing() bool { return e.Instance.Closing() || e.life().removed.Load() }

// Usable reports that the endpoint is neither closing nor an outlier.
func (e *Endpoint) Usable() bool { return e.Instance.Usable() && !e.life().removed.Load() }

// Spent reports that the endpoint is not called even where there is nothing else: it
// leaves and has begun to refuse, or the registry no longer lists it and it could not
// be reached.
func (e *Endpoint) Spent() bool {
	return e.Refusing() || e.life().removed.Load() && e.Instance.Outlier()
}

// Begin counts a call in and reports whether it may start: false once the
// endpoint is retired, or its instance is closing or an outlier, unless last says
// that there is nothing else and it is not [Endpoint.Spent]. The check
// comes after the count, so that a call either starts before
// [Instance.MarkClosing] returns or not at all. Each true wants one End.
func (e *Endpoint) Begin(last bool) bool {
	life := e.life()
	life.inflight.Add(1)
	if !last && !e.Usable() || last && e.Spent() || life.retired.Load() != nil {
		life.leave()
		return false
	}
	e.sent.Add(1)
	return true
}

// BeginAnyway counts a call in whatever the state of the endpoint, for those who send
// it in any case; false only once the endpoint is retired. A true wants one End.
func (e *Endpoint) BeginAnyway() bool {
	life := e.life()
	life.inflight.Add(1)
	if life.retired.Load() != nil {
		life.leave()
		return false
	}
	e.sent.Add(1)
	return true
}

// End counts a call out.
func (e *Endpoint) End(o Outcome) {
	switch o {
	case Answered:
		e.answered.Add(1)
		if e.strikes.Load() != 0 {
			e.strikes.Store(0)
		}
	case Refused:
		e.refused.Add(1)
	case Failed:
		e.sent.Add(-1)
		e.failed.Add(1)
	case Unknown:
		e.unknown.Add(1)
	}
	e.life().leave()
}

// Reroute counts a call that goes to another endpoint after this one.
func (e *Endpoint) Reroute() { e.rerouted.Add(1) }

// InFlight returns the calls of this service that are on their way.
func (e *Endpoint) InFlight() int64 { return e.life().inflight.Load() }

// Retire runs free once, when the last call has returned; at once if none is in
// flight. No call begins after it.
func (e *Endpoint) Retire(free func()) {
	life := e.life()
	life.retired.Store(&free)
	if life.inflight.Load() == 0 {
		life.release()
	}
}

func (e *Endpoint) leave() {
	if e.inflight.Add(-1) == 0 && e.retired.Load() != nil {
		e.release()
	}
}

func (e *Endpoint) release() { e.retire.Do(*e.retired.Load()) }
