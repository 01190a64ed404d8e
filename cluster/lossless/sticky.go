// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"sync"
	"weak"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

// sticky keeps the calls of a reference with `sticky: true` on one instance a
// level, for as long as it is in the level's pool and has a weight. dubbo-go keeps one
// for all levels, which two lanes would take from each other.
type sticky struct {
	all     bool
	methods map[string]bool // those that say otherwise
	last    *sync.Map       // level -> *stuck
}

// stuck is the instance that calls stick to, and the endpoint that it is in a pool. It
// keeps none of them alive: a reference that makes no calls for a week must not hold the
// snapshot of a week ago, nor what a level had that is gone.
type stuck struct {
	pool     weak.Pointer[endpoint.Pool]
	endpoint weak.Pointer[endpoint.Endpoint]
	instance weak.Pointer[endpoint.Instance]
}

func newStuck(p *endpoint.Pool, e *endpoint.Endpoint) *stuck {
	return &stuck{weak.Make(p), weak.Make(e), weak.Make(e.Instance)}
}

// newSticky returns nil where nothing sticks.
func newSticky(u *common.URL) *sticky {
	if u == nil {
		return nil
	}
	s := &sticky{all: u.GetParamBool(constant.StickyKey, false), methods: make(map[string]bool), last: new(sync.Map)}
	used := s.all
	meta.EachMethod(u, constant.StickyKey, func(method, value string) {
		s.methods[method] = value == "true"
		used = used || value == "true"
	})
	if !used {
		return nil
	}
	return s
}

// holds reports whether calls of a method stick.
func (s *sticky) holds(method string) bool {
	if own, ok := s.methods[method]; ok {
		return own
	}
	return s.all
}

// of returns the endpoint of a level, nil if there is none yet, or its instance is not in
// the pool any more or has lost its weight: an operator's way to empty it. A pool is
// looked through once, not by each call; the instance is the same also where a push has
// made a new endpoint of it.
func (s *sticky) of(level string, p *endpoint.Pool) *endpoint.Endpoint {
	v, ok := s.last.Load(level)
	if !ok {
		return nil
	}
	last := v.(*stuck) //nolint:errcheck // nothing else is stored
	if last.pool.Value() == p {
		return last.endpoint.Value() // alive, for it is in the pool
	}
	instance := last.instance.Value()
	if instance == nil {
		return nil
	}
	for _, e := range p.All() {
		if e.Instance == instance && e.Weight > 0 {
			s.last.CompareAndSwap(level, v, newStuck(p, e))
			return e
		}
	}
	return nil
}

func (s *sticky) keep(level string, p *endpoint.Pool, e *endpoint.Endpoint) {
	s.last.Store(level, newStuck(p, e))
}
