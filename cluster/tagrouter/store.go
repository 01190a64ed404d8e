// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Rules are the rules in force in this process.
var Rules = &Store{} //nolint:gochecknoglobals // references share what the config centre says of an application

// Store holds the rules in force, by provider application, and who wants to know
// of them. It stands between whoever follows a config centre and whoever routes:
// neither knows the other.
//
// The zero value is ready. All methods are safe for concurrent use; Rule takes no
// lock. Watchers are called with no lock held, from whichever goroutine made the
// change: they must not block.
type Store struct {
	cur atomic.Pointer[map[string]*Rule] // immutable once published; nil is empty

	mu     sync.Mutex // serialises all below, and writers of cur
	start  func(app string) (stop func())
	wanted map[string]*interest
}

// interest is who wants one application's rule.
type interest struct {
	watchers map[*func()]struct{}
	stop     func() // ends the follower; nil while there is none
}

// Rule returns the rule of a provider application that is in force, nil for none.
func (s *Store) Rule(app string) *Rule {
	if m := s.cur.Load(); m != nil {
		return (*m)[app]
	}
	return nil
}

// Put puts a rule in force; nil removes it. Whoever follows app is told, unless
// nothing changed.
func (s *Store) Put(app string, r *Rule) {
	s.mu.Lock()
	old := map[string]*Rule{}
	if m := s.cur.Load(); m != nil {
		old = *m
	}
	if old[app] == r {
		s.mu.Unlock()
		return
	}
	next := maps.Clone(old)
	if next[app] = r; r == nil {
		delete(next, app)
	}
	s.cur.Store(&next)
	var tell []*func()
	if i := s.wanted[app]; i != nil {
		for fn := range i.watchers {
			tell = append(tell, fn)
		}
	}
	s.mu.Unlock()
	for _, fn := range tell {
		(*fn)()
	}
}

// Follow tells fn after each change of app's rule, until cancel is called; a call
// that is under way may end after that. The first who wants an application starts
// its follower, the last who goes stops it, its rule stays. cancel may be called
// more than once.
func (s *Store) Follow(app string, fn func()) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.wanted == nil {
		s.wanted = make(map[string]*interest)
	}
	i := s.wanted[app]
	if i == nil {
		i = &interest{watchers: make(map[*func()]struct{})}
		s.wanted[app] = i
		if s.start != nil {
			i.stop = s.start(app)
		}
	}
	i.watchers[&fn] = struct{}{}
	return func() { s.unfollow(app, i, &fn) }
}

func (s *Store) unfollow(app string, i *interest, fn *func()) {
	s.mu.Lock()
	delete(i.watchers, fn)
	var stop func()
	if len(i.watchers) == 0 && s.wanted[app] == i {
		delete(s.wanted, app)
		stop = i.stop
	}
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// SetFollower says who follows the source of rules: start is called once per
// application that somebody wants, at once for those wanted already, and must
// return without waiting for anything; it must not call the Store before it
// returns. A second call replaces the first for applications to come, nil ends
// that. What start returns ends the following, or is nil.
func (s *Store) SetFollower(start func(app string) (stop func())) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.start = start
	if start == nil {
		return
	}
	for app, i := range s.wanted {
		if i.stop == nil {
			i.stop = start(app)
		}
	}
}
