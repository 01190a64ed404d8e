// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/internal/conf"
)

// view keeps a snapshot of the ladder up to date with a source of endpoints and
// with the state that the process-wide table holds of them.
type view struct {
	cur atomic.Pointer[tagrouter.Snapshot] // never nil after newView

	// news counts what may have changed, built is where it stood when cur was begun.
	news, built atomic.Uint64

	src      endpoint.Source
	mu       sync.Mutex // serialises builders
	baseline bool       // a baseline endpoint has been seen
	warned   bool       // of a fleet without baseline
	service  string
	timer    *time.Timer
	dirty    chan struct{}
	done     chan struct{}
	once     sync.Once
	cancel   []func()
	apps     map[string]bool // whose rules are followed
	closed   bool
}

func newView(src endpoint.Source, service string) *view {
	v := &view{src: src, service: service, dirty: make(chan struct{}, 1), done: make(chan struct{}), apps: map[string]bool{}}
	v.timer = time.AfterFunc(time.Hour, v.poke)
	v.cancel = []func(){src.Watch(v.poke), endpoint.Shared.Watch(v.poke)}
	v.refresh()
	go v.follow()
	return v
}

// poke asks for a new snapshot; many pokes make one.
func (v *view) poke() {
	v.news.Add(1)
	select {
	case v.dirty <- struct{}{}:
	default:
	}
}

func (v *view) follow() {
	for {
		select {
		case <-v.dirty:
			v.fresh(false)
		case <-v.done:
			return
		}
	}
}

// fresh returns a snapshot of all news so far: the one in force, unless there are some
// since. Of those who ask at once one builds it. untold says that there is news of
// which nobody may have told yet.
func (v *view) fresh(untold bool) *tagrouter.Snapshot {
	if untold {
		v.news.Add(1)
	}
	news := v.news.Load()
	if v.built.Load() >= news {
		return v.cur.Load()
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.built.Load() >= news {
		return v.cur.Load()
	}
	return v.build()
}

// refresh makes the snapshot one of what is known now, also of what nobody has told yet.
func (v *view) refresh() { v.fresh(true) }

// build makes the snapshot. v.mu is held.
func (v *view) build() *tagrouter.Snapshot {
	news := v.news.Load() // before anything else is read
	c := conf.Current()
	p, err := c.Warmup.Exponent()
	if err != nil {
		p = 1
	}
	list := v.src.Endpoints()
	v.followRules(list)
	s := tagrouter.Build(list, tagrouter.Options{
		Ramp:         endpoint.Ramp{Exponent: p, Floor: c.Warmup.MinPercent / 100, Boost: c.Warmup.MaxBoost},
		Rules:        tagrouter.Rules.Rule,
		UntaggedAny:  c.Routing.UntaggedFallback == "any",
		BaselineSeen: v.baseline,
		Java:         c.Routing.Compat == "java",
	})
	v.baseline = v.baseline || s.HasBaseline()
	if s.Untagged() && !v.warned {
		v.warned = true
		logger.Warnf("[graylane] %s has no baseline: calls without tag are served by tagged instances, counted as fallback %q", v.service, tagrouter.Untagged)
	}
	if last := v.cur.Load(); last != nil {
		endpoint.Prepare(s.Pools(), last.Pools())
	}
	v.cur.Store(s)
	v.built.Store(news)
	v.arm(s)
	return s
}

// followRules asks for the rules of the applications behind the endpoints. It waits
// for none: a rule that comes later pokes. Following ends with the view, for an
// application that is gone now comes back with its next release.
func (v *view) followRules(list []*endpoint.Endpoint) {
	last := ""
	for _, e := range list {
		if e.App == last || v.closed {
			continue
		}
		if last = e.App; last != "" && !v.apps[last] {
			v.apps[last] = true
			v.cancel = append(v.cancel, tagrouter.Rules.Follow(last, v.poke))
		}
	}
}

// arm has the snapshot built anew when the next endpoint turns warm.
func (v *view) arm(s *tagrouter.Snapshot) {
	var next time.Duration
	for _, p := range s.Pools() {
		if n := p.NextWarm(); n > 0 && (next == 0 || n < next) {
			next = n
		}
	}
	if next > 0 {
		v.timer.Reset(next)
	}
}

func (v *view) close() {
	v.once.Do(func() {
		close(v.done)
		v.mu.Lock()
		defer v.mu.Unlock()
		v.closed = true
		v.timer.Stop()
		for _, cancel := range v.cancel {
			cancel()
		}
	})
}
