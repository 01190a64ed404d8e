// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"iter"
	"sync"

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

// Holds reports whether the endpoint is of the decision's level, in whatever state:
// it need not carry the tag itself where a rule put it there.
func (d Decision) Holds(e *endpoint.Endpoint) bool {
	if d.lane == nil {
		return false
	}
	_, ok := d.lane.members()[e.Instance]
	return ok
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
	// Rules returns the rule of a provider application, nil for none; a nil Rules
	// has none. See [Store.Rule].
	Rules func(app string) *Rule
	// UntaggedAny serves calls without tag from any instance when there is no
	// baseline; otherwise only a fleet that never had a baseline does.
	UntaggedAny bool
	// BaselineSeen says that there has been a baseline endpoint before.
	BaselineSeen bool
	// Java does what Dubbo Java's TagStateRouter does: it looks at all endpoints of
	// a lane alike, so that a lane of closing ones or outliers does not fall back,
	// and at the rule of one application only. See docs/rules.md.
	Java bool
}

// Snapshot is the ladder over one generation of endpoints and rules. It is
// immutable.
type Snapshot struct {
	lanes  map[string]*lane  // whole ones, by tag
	routes map[string]*route // by each tag that a rule or an instance names
	none   branch            // of calls without tag
	rest   branch            // of tags of which nobody names any level
	nobody branch            // of calls that insist on such a tag
	next   []*endpoint.Pool

	untagged bool // none is served by tagged instances
	own      bool // an endpoint carries no tag itself
}

// route is where the calls go that want one tag.
type route struct {
	exact  branch // the tag
	forced branch // the tag and no other
	below  branch // a longer tag that nobody names, such as gray|x
}

// branch is one ladder with what it comes to.
type branch struct {
	rungs []rung
	first Decision // without Pool: none of the rungs has an endpoint
	err   error    // then; nil in branches that serve several tags
	bars  string   // the application whose rule forbids to go lower
}

// rung is one level of a ladder. Its lane is never empty.
type rung struct {
	level  string
	reason Reason
	lane   *lane
}

// lane is the endpoints of one level, by state.
type lane struct {
	usable, closing, outlier *endpoint.Pool
	mixed                    bool // usable holds them all

	membersOnce sync.Once
	instances   map[*endpoint.Instance]struct{}
}

// members are the instances of the level, made by the first who asks.
func (l *lane) members() map[*endpoint.Instance]struct{} {
	l.membersOnce.Do(func() {
		l.instances = make(map[*endpoint.Instance]struct{})
		for _, p := range [...]*endpoint.Pool{l.usable, l.closing, l.outlier} {
			for _, e := range p.All() {
				l.instances[e.Instance] = struct{}{}
			}
		}
	})
	return l.instances
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

// Build makes the ladder over the endpoints. Rules are matched here, once for each
// endpoint, and not by calls.
func Build(list []*endpoint.Endpoint, o Options) *Snapshot {
	p := place(endpoints(list), o.Rules, o.Java)
	s := &Snapshot{lanes: make(map[string]*lane, len(p.lanes)), routes: make(map[string]*route, len(p.lanes)), own: p.untagged}
	b := build{s: s, p: p, list: list, o: o, parts: map[string]*lane{}}
	for name, at := range p.lanes {
		s.lanes[name] = b.lane(*at)
	}
	b.name()
	s.none = b.branch("", false)
	switch {
	case len(list) == 0:
		s.none.err = fmt.Errorf("%w: no instance is registered", endpoint.ErrNoEndpoint)
	case len(s.none.rungs) == 0 && p.anyServes(o.UntaggedAny, o.BaselineSeen):
		s.untagged = true
		s.none = branch{rungs: []rung{{"", Untagged, b.pools(list)}}}
		s.none.settle("", false)
	}
	s.rest = b.branch(unheardOf, false)
	s.rest.err = nil
	return s
}

// unheardOf is a level that no rule and no instance names, for it is no tag.
const unheardOf = "\x00"

// build is a snapshot in the making.
type build struct {
	s     *Snapshot
	p     *placement
	list  []*endpoint.Endpoint
	o     Options
	parts map[string]*lane // without the applications that are barred
}

// name makes a route for every tag that an instance or a rule names.
func (b *build) name() {
	add := func(name string) {
		if name == "" || b.s.routes[name] != nil {
			return
		}
		r := &route{exact: b.branch(name, false), forced: b.branch(name, true), below: b.branch(name+"|"+unheardOf, false)}
		r.below.err = nil
		b.s.routes[name] = r
	}
	for name := range b.p.lanes {
		add(name)
	}
	for _, a := range b.p.apps {
		if a.rule != nil {
			for n := range a.rule.tags {
				add(a.rule.tags[n].name)
			}
		}
	}
}

// branch makes the ladder from one tag down.
func (b *build) branch(wanted string, force bool) branch {
	var out branch
	why := b.s.lanes[wanted].why()
	b.p.steps(wanted, force, func(level string, barred []bool) bool {
		if l := b.part(level, barred); l != nil {
			r := rung{level: level, lane: l}
			if level != wanted {
				r.reason = why
			}
			out.rungs = append(out.rungs, r)
		}
		for n, is := range barred {
			if is && out.bars == "" {
				out.bars = b.p.apps[n].name
			}
		}
		return true
	})
	out.settle(wanted, force)
	return out
}

// part returns the lane of a level without the applications that are barred, nil
// if nothing is left of it. Ladders that leave out the same share it.
func (b *build) part(level string, barred []bool) *lane {
	whole := b.s.lanes[level]
	if barred == nil || whole == nil {
		return whole
	}
	key := level + unheardOf + fmt.Sprint(barred)
	if l, ok := b.parts[key]; ok {
		return l
	}
	l := whole
	if at := b.p.take(level, barred); len(at) == 0 {
		l = nil
	} else if len(at) < len(b.p.in(level)) {
		l = b.lane(at)
	}
	b.parts[key] = l
	return l
}

func (b *build) lane(at []int32) *lane {
	group := make([]*endpoint.Endpoint, len(at))
	for i, n := range at {
		group[i] = b.list[n]
	}
	return b.pools(group)
}

// pools sorts the endpoints of one lane by state.
func (b *build) pools(group []*endpoint.Endpoint) *lane {
	usable, leaving, failing := make([]*endpoint.Endpoint, 0, len(group)), []*endpoint.Endpoint(nil), []*endpoint.Endpoint(nil)
	for _, e := range group {
		switch {
		case b.o.Java:
			usable = append(usable, e)
		case e.Closing():
			leaving = append(leaving, e)
		case e.Outlier():
			failing = append(failing, e)
		default:
			usable = append(usable, e)
		}
	}
	l := &lane{
		usable: endpoint.NewPool(usable, b.o.Ramp), closing: endpoint.NewPool(leaving, b.o.Ramp), outlier: endpoint.NewPool(failing, b.o.Ramp),
		mixed: b.o.Java,
	}
	b.s.next = append(b.s.next, l.usable)
	return l
}

// settle finds out what the ladder comes to.
func (b *branch) settle(wanted string, force bool) {
	for d := range b.ladder() {
		b.first = d
		return
	}
	b.err = b.refusal(wanted, force)
}

// ladder yields the places of all rungs: the usable endpoints down the ladder, then
// the closing ones, then the outliers.
func (b *branch) ladder() iter.Seq[Decision] {
	return func(yield func(Decision) bool) {
		for _, state := range [...]func(*lane) *endpoint.Pool{
			func(l *lane) *endpoint.Pool { return l.usable },
			func(l *lane) *endpoint.Pool { return l.closing },
			func(l *lane) *endpoint.Pool { return l.outlier },
		} {
			for _, r := range b.rungs {
				p := state(r.lane)
				if p.Len() == 0 {
					continue
				}
				if !yield(Decision{Pool: p, Level: r.level, Reason: r.reason, Last: r.lane.mixed || p != r.lane.usable, lane: r.lane}) {
					return
				}
			}
		}
	}
}

func (b *branch) refusal(wanted string, force bool) error {
	switch {
	case b.err != nil:
		return b.err
	case wanted == "":
		return fmt.Errorf("%w without tag: only tagged instances are left", endpoint.ErrNoEndpoint)
	case b.bars != "":
		return fmt.Errorf("%w for tag %q: no instance of it, and the rule of %q forbids to fall back", endpoint.ErrNoEndpoint, wanted, b.bars)
	case force:
		return fmt.Errorf("%w for tag %q: no instance of it, and dubbo.force.tag forbids to fall back", endpoint.ErrNoEndpoint, wanted)
	}
	return fmt.Errorf("%w for tag %q: no instance of it, nor a baseline", endpoint.ErrNoEndpoint, wanted)
}

// Pools returns the pools of usable endpoints, one a lane, for those who must
// know when the next endpoint turns warm.
func (s *Snapshot) Pools() []*endpoint.Pool { return s.next }

// HasBaseline reports whether there is an endpoint that carries no tag itself,
// usable or not: a rule that puts all instances into lanes does not make a fleet
// that is tagged throughout.
func (s *Snapshot) HasBaseline() bool { return s.own }

// Untagged reports that calls without tag are served by tagged instances, for want
// of a baseline.
func (s *Snapshot) Untagged() bool { return s.untagged }

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
	b := s.find(wanted, force)
	if b.first.Pool == nil {
		return Decision{}, b.refusal(wanted, force)
	}
	return b.first, nil
}

// Ladder yields every place where a call that wants the tag may go, best first:
// all usable endpoints down the ladder, then the closing ones, then the outliers.
// The first is what [Snapshot.Route] returns; the others are for a call that those
// before have refused.
func (s *Snapshot) Ladder(wanted string, force bool) iter.Seq[Decision] {
	return s.find(wanted, force).ladder()
}

// find returns the ladder from a tag down: its own, or that of the longest of its
// levels that somebody names.
func (s *Snapshot) find(wanted string, force bool) *branch {
	if wanted == "" {
		return &s.none
	}
	if r, ok := s.routes[wanted]; ok {
		if force {
			return &r.forced
		}
		return &r.exact
	}
	if force {
		return &s.nobody
	}
	for level, more := parent(wanted, false); more && level != ""; level, more = parent(level, false) {
		if r, ok := s.routes[level]; ok {
			return &r.below
		}
	}
	return &s.rest
}
