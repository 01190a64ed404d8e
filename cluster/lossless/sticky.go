// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

// sticky keeps the calls of a reference with `sticky: true` on one endpoint a
// level, for as long as it is in the level's pool. dubbo-go keeps one for all
// levels, which two lanes would take from each other with every call.
type sticky struct {
	all     bool
	methods map[string]bool // those that say otherwise
	last    *sync.Map       // level -> stuck
}

// stuck is an endpoint that calls stick to, and a pool that is known to hold it.
type stuck struct {
	e    *endpoint.Endpoint
	pool *endpoint.Pool
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

// of returns the endpoint of a level, nil if there is none yet or it is not in the
// pool any more. A pool is looked through once, not by each call.
func (s *sticky) of(level string, p *endpoint.Pool) *endpoint.Endpoint {
	v, ok := s.last.Load(level)
	if !ok {
		return nil
	}
	last := v.(*stuck) //nolint:errcheck // nothing else is stored
	if last.pool != p {
		if !slices.Contains(p.All(), last.e) {
			return nil
		}
		s.last.CompareAndSwap(level, v, &stuck{last.e, p})
	}
	return last.e
}

func (s *sticky) keep(level string, p *endpoint.Pool, e *endpoint.Endpoint) {
	s.last.Store(level, &stuck{e, p})
}
