// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"iter"
	"strings"

	"github.com/graylane/graylane/cluster/endpoint"
)

// Reason says why a call was served below the tag that it wanted.
type Reason string

// The reasons. The empty one means that the level is the wanted tag.
const (
	NoInstance Reason = "no-instance" // the lane has no instance
	Closing    Reason = "closing"     // those that it has are leaving
	Outlier    Reason = "outlier"     // or failing
	Untagged   Reason = "untagged"    // a call without tag, served by tagged instances for want of a baseline
)

// Decision is where a call may go.
type Decision struct {
	Pool  *endpoint.Pool
	Level string // the tag that serves, "" for the baseline
	// Reason of the fallback, "" if there was none.
	Reason Reason
	// Last says that the pool's endpoints are closing or outliers, and nothing
	// better is left.
	Last bool

	lane *lane
}

// Left returns how many endpoints of the level are usable now, and how many of
// it stay: outliers count, closing ones do not.
func (d Decision) Left() (usable, staying int) {
	for _, p := range [...]*endpoint.Pool{d.lane.usable, d.lane.closing, d.lane.outlier} {
		for _, e := range p.All() {
			if e.Usable() {
				usable++
			}
			if !e.Closing() {
				staying++
			}
		}
	}
	return usable, staying
}

// Options are the settings of the ladder.
type Options struct {
	Ramp endpoint.Ramp
	// UntaggedAny serves calls without tag from any instance when there is no
	// baseline; otherwise only a fleet that never had a baseline does.
	UntaggedAny bool
	// BaselineSeen says that there has been a baseline endpoint before.
	BaselineSeen bool
	// Java looks at all endpoints of a lane alike, as Dubbo Java's TagStateRouter
	// does: a lane of closing ones or outliers does not fall back.
	Java bool
}

// Snapshot is the ladder over one generation of endpoints. It is immutable.
type Snapshot struct {
	lanes map[string]*lane
	base  *lane
	all   *lane // of a fleet without baseline, else nil
	byTag map[string]Decision
	none  Decision
	noneE error
	next  []*endpoint.Pool
}

// lane is the endpoints of one level, by state.
type lane struct {
	usable, closing, outlier *endpoint.Pool
	mixed                    bool // usable holds them all
}

// why is the reason for which a lane without usable endpoints is left.
func (l *lane) why() Reason {
	switch {
	case l == nil:
		return NoInstance
	case l.closing.Len() > 0:
		return Closing
	case l.outlier.Len() > 0:
		return Outlier
	}
	return NoInstance
}

// Build makes the ladder over the endpoints.
func Build(list []*endpoint.Endpoint, o Options) *Snapshot {
	groups := map[string][]*endpoint.Endpoint{}
	for _, e := range list {
		groups[e.Tag] = append(groups[e.Tag], e)
	}
	s := &Snapshot{lanes: make(map[string]*lane, len(groups)), byTag: make(map[string]Decision, len(groups))}
	for tag, g := range groups {
		s.lanes[tag] = s.lane(g, o)
	}
	s.base = s.lanes[""]
	if s.base == nil && len(list) > 0 && (o.UntaggedAny || !o.BaselineSeen) {
		s.all = s.lane(list, o)
	}
	for tag := range groups {
		if tag != "" {
			s.byTag[tag], _ = s.climb(tag, false) // a lane of its own, so never an error
		}
	}
	s.none, s.noneE = s.climb("", false)
	return s
}

func (s *Snapshot) lane(group []*endpoint.Endpoint, o Options) *lane {
	var usable, leaving, failing []*endpoint.Endpoint
	for _, e := range group {
		switch {
		case o.Java:
			usable = append(usable, e)
		case e.Closing():
			leaving = append(leaving, e)
		case e.Outlier():
			failing = append(failing, e)
		default:
			usable = append(usable, e)
		}
	}
	l := &lane{endpoint.NewPool(usable, o.Ramp), endpoint.NewPool(leaving, o.Ramp), endpoint.NewPool(failing, o.Ramp), o.Java}
	s.next = append(s.next, l.usable)
	return l
}

// Pools returns the pools of usable endpoints, one a lane, for those who must
// know when the next endpoint turns warm.
func (s *Snapshot) Pools() []*endpoint.Pool { return s.next }

// HasBaseline reports whether there is a baseline endpoint, usable or not.
func (s *Snapshot) HasBaseline() bool { return s.base != nil }

// Untagged reports that calls without tag are served by tagged instances, for want
// of a baseline.
func (s *Snapshot) Untagged() bool { return s.all != nil }

// Available reports whether any endpoint is usable.
func (s *Snapshot) Available() bool {
	for _, l := range s.lanes {
		if l.usable.Len() > 0 {
			return true
		}
	}
	return false
}

// Route decides for a call that wants the tag, "" for none. The error wraps
// [endpoint.ErrNoEndpoint].
func (s *Snapshot) Route(wanted string, force bool) (Decision, error) {
	if wanted == "" {
		return s.none, s.noneE
	}
	if !force {
		if d, ok := s.byTag[wanted]; ok {
			return d, nil
		}
	}
	return s.climb(wanted, force)
}

// Ladder yields every place where a call that wants the tag may go, best first:
// all usable endpoints down the ladder, then the closing ones, then the outliers.
// The first is what [Snapshot.Route] returns; the others are for a call that those
// before have refused.
func (s *Snapshot) Ladder(wanted string, force bool) iter.Seq[Decision] {
	return func(yield func(Decision) bool) {
		why := s.lanes[wanted].why()
		for _, state := range [...]func(*lane) *endpoint.Pool{
			func(l *lane) *endpoint.Pool { return l.usable },
			func(l *lane) *endpoint.Pool { return l.closing },
			func(l *lane) *endpoint.Pool { return l.outlier },
		} {
			for level, more := wanted, true; more; level, more = parent(level, force) {
				l, reason := s.lanes[level], Reason("")
				if level != wanted {
					reason = why
				}
				if wanted == "" && l == nil && s.all != nil {
					l, reason = s.all, Untagged
				}
				if l == nil || state(l).Len() == 0 {
					continue
				}
				p := state(l)
				if !yield(Decision{Pool: p, Level: level, Reason: reason, Last: l.mixed || p != l.usable, lane: l}) {
					return
				}
			}
		}
	}
}

// climb returns the first place of the ladder.
func (s *Snapshot) climb(wanted string, force bool) (Decision, error) {
	for d := range s.Ladder(wanted, force) {
		return d, nil
	}
	switch {
	case wanted == "" && len(s.lanes) == 0:
		return Decision{}, fmt.Errorf("%w: no instance is registered", endpoint.ErrNoEndpoint)
	case wanted == "":
		return Decision{}, fmt.Errorf("%w without tag: only tagged instances are left", endpoint.ErrNoEndpoint)
	}
	return Decision{}, fmt.Errorf("%w for tag %q (force: %t): no instance of it, nor a baseline", endpoint.ErrNoEndpoint, wanted, force)
}

// parent returns the next lower level, and false after the baseline or with force.
func parent(level string, force bool) (string, bool) {
	if level == "" || force {
		return "", false
	}
	if i := strings.LastIndexByte(level, '|'); i > 0 {
		return level[:i], true
	}
	return "", true
}
