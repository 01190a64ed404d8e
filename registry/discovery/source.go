// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
)

// source is what one registry says of the providers of a [Directory], or of one
// group of them. A directory is the union of its sources: a provider that several
// name counts once and leaves when the last of them drops it. Its fields below d
// are guarded by d.mu.
type source struct {
	d   *Directory
	url *common.URL // of the registry
	ref *common.URL // what is asked for: the reference, or a copy with one of its groups

	named   map[identity]*provider // by the identity that this source gives them
	round   uint32                 // of complete lists
	settled bool                   // the first list is over: what comes later appeared
	held    *time.Timer            // runs while an empty or broken list is held back
	back    func() time.Time       // when the registry was last away, nil: it does not say

	first chan struct{} // closed with the first word of the registry, and with the directory's end
	once  sync.Once
	end   func() // leaves the registry, nil: not there yet
	apps  *apps  // that are followed, nil: by name, or not at application level
}

// listing is how one source names a provider.
type listing struct {
	source  *source
	alias   *identity // by which it names it, nil: the provider's own
	url     *common.URL
	round   uint32 // the last complete list that named it
	doubted bool   // the held list does not name it
	ended   bool   // and nobody listens at its address

	answered, failed int64 // of the instance, when it was doubted
}

// answers reports whether the instance has answered since it was doubted. One that a
// call could not reach meanwhile does not count: whoever is there now may be another.
func (l *listing) answers(i *endpoint.Instance) bool {
	answered, failed := i.Calls()
	return i.Usable() && answered > l.answered && failed == l.failed
}

// doubt begins a period in which the instance may show that it is there.
func (l *listing) doubt(i *endpoint.Instance) {
	l.doubted, l.ended = true, false
	l.answered, l.failed = i.Calls()
}

// name is what the source calls the provider.
func (l *listing) name(p *provider) identity {
	if l.alias != nil {
		return *l.alias
	}
	return p.id
}

var _ registry.NotifyListener = (*source)(nil)

// newSource adds a source to the directory.
func (d *Directory) newSource(u, ref *common.URL) *source {
	s := &source{d: d, url: u, ref: ref, named: make(map[identity]*provider), first: make(chan struct{})}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sources = append(d.sources, s)
	if d.gone {
		s.heard()
	}
	return s
}

// atEnd has fn run, in the background, when the directory ends.
func (s *source) atEnd(fn func()) {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.end = fn; s.d.gone {
		go fn()
	}
}

// Notify implements dubbo-go's NotifyListener for a single event.
func (s *source) Notify(e *registry.ServiceEvent) {
	if e == nil {
		return
	}
	d := s.d
	said, is := d.newReader().read(e.Service)
	if is == ignored {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	switch id := said.id(d); {
	case e.Action == remoting.EventTypeDel:
		s.drop(id)
	case is == drained:
		s.expel(id)
	default:
		s.add(id, &said)
	}
	d.publishBurst()
	s.heard()
}

// NotifyAll implements dubbo-go's NotifyListener for a complete list. What an empty or
// a broken one lacks is held for discovery.empty-protection, unless it has said that it
// leaves. A provider to which the registry's operator gave the weight 0 gets no call
// from now on, whatever else the list says.
func (s *source) NotifyAll(events []*registry.ServiceEvent, done func()) {
	if done != nil {
		defer done()
	}
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	list := s.readAll(events)
	s.replace(&list)
	d.publish()
	if list.offered > 0 || s.held == nil {
		s.heard()
	}
}

// replace takes what a complete list changes. Those that go are dropped before newcomers
// are looked at, so that no clock of another machine keeps one out. d.mu is held.
func (s *source) replace(list *reading) {
	still, rest := list.still, []int32(nil)
	for n := range list.drained {
		id := list.drained[n].id(s.d)
		if p := s.named[id]; p != nil && p.by(s).round == s.round { // the list says both
			still--
		}
		s.expel(id)
	}
	next := 0 // where the one listed next is likely to stand among the known
	for n := range list.present {
		said := &list.present[n]
		id := said.id(s.d)
		p := s.find(next, id)
		if p == nil {
			rest = append(rest, int32(n))
			continue
		}
		next = int(p.nth) + 1
		l := p.by(s)
		if l.round != s.round {
			l.round = s.round
			still++
		}
		if p.alone && l.alias == nil {
			s.list(p, id, said)
		} else {
			rest = append(rest, int32(n))
		}
	}
	kept := 0
	if still < len(s.named) {
		kept = s.miss(s.doubts(list.offered == 0 && len(list.drained) == 0))
	}
	for _, n := range rest {
		s.add(list.present[n].id(s.d), &list.present[n])
	}
	s.hold(kept, list.offered)
}

// miss drops the providers that the list of this round lacks, or with doubts keeps
// those that may be there, and returns how many. d.mu is held.
func (s *source) miss(doubts bool) (kept int) {
	for _, p := range s.d.known { // of which the list has just been compared; the map would be a detour
		l := p.by(s)
		switch {
		case l == nil || l.round == s.round:
		case !doubts || p.instance.Closing():
			s.drop(l.name(p))
		default:
			kept++
			if !l.doubted {
				l.doubt(p.instance)
				s.inquire(p)
			}
		}
	}
	return kept
}

// doubts tells whether what the list of this round lacks is held for a while: where it
// is empty, and where it lacks half of those that could be called, or follows one that
// is held, and the registry has just been away. Otherwise what it lacks has left.
// d.mu is held.
func (s *source) doubts(empty bool) bool {
	wait := conf.Current().Discovery.EmptyProtection
	if wait == 0 {
		return false
	}
	if empty || s.held != nil {
		return true
	}
	if s.back == nil {
		return false
	}
	if at := s.back(); at.IsZero() || time.Since(at) > wait {
		return false
	}
	usable, missing := 0, 0
	for _, p := range s.named {
		if p.instance.Usable() {
			usable++
			if p.by(s).round != s.round {
				missing++
			}
		}
	}
	return 2*missing >= usable
}

// hold sees to it that what was kept although the list lacks it is looked at again.
// d.mu is held.
func (s *source) hold(kept, present int) {
	if kept == 0 {
		s.unhold()
		return
	}
	if wait := conf.Current().Discovery.EmptyProtection; s.held == nil {
		logger.Warnf("[graylane] %s: the registry lists %d, %d endpoints that it no longer lists are kept for %v", s.ref.Service(), present, kept, wait)
		s.held = time.AfterFunc(wait, s.believe)
		s.d.sweepLater()
	}
}

// believe takes the held list for true, but for endpoints that have answered while
// it was held: they get as long again, each time, until they do not answer or an
// explicit word takes them out.
func (s *source) believe() {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.held == nil || d.gone {
		return
	}
	s.held = nil
	wait, kept := conf.Current().Discovery.EmptyProtection, 0
	for id, p := range s.named {
		switch l := p.by(s); {
		case !l.doubted: // named by a later event
		case wait > 0 && l.answers(p.instance):
			l.doubt(p.instance)
			kept++
		default:
			s.drop(id)
		}
	}
	if kept > 0 {
		s.held = time.AfterFunc(wait, s.believe)
	}
	d.publish()
}

func (s *source) unhold() {
	if s.held != nil {
		s.held.Stop()
		s.held = nil
	}
}

func (s *source) heard() {
	s.once.Do(func() { close(s.first) })
}

// settle says that what comes from now on was seen to appear. The first word is not
// enough: the present list of an application comes one by one.
func (s *source) settle() {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	s.settled = true
}

// add lists a provider. d.mu is held.
func (s *source) add(id identity, said *entry) {
	if p := s.d.provider(s, id, said.url); p != nil {
		s.list(p, id, said)
	}
}

// list says that this source names the provider. d.mu is held.
func (s *source) list(p *provider, id identity, said *entry) {
	l := p.by(s)
	if l == nil {
		if p.listed == nil {
			p.listed = p.first[:0]
		}
		p.listed = append(p.listed, listing{source: s})
		l = &p.listed[len(p.listed)-1]
		s.named[id] = p
	}
	if old := l.name(p); old != id {
		delete(s.named, old)
		s.named[id] = p
		if l.alias = nil; id != p.id {
			alias := id // a copy, so that only these are on the heap
			l.alias = &alias
		}
	}
	l.url, l.doubted = said.url, false
	p.url, p.replaced = said.url, false
	if !p.left.IsZero() { // it is back
		p.left = time.Time{}
		if p.endpoint != nil {
			p.endpoint.SetRemoved(false)
		}
	}
	s.d.refresh(p, said)
}

// drop says that this source no longer names the provider. d.mu is held.
func (s *source) drop(id identity) {
	p, ok := s.named[id]
	if !ok {
		return
	}
	delete(s.named, id)
	p.listed = slices.DeleteFunc(p.listed, func(l listing) bool { return l.source == s })
	if len(p.listed) == 0 {
		s.d.remove(p)
	} else {
		s.d.refresh(p, nil)
	}
}

// expel drops a provider whose weight is 0. Unlike one that left it gets no call
// even where there is nothing else. d.mu is held.
func (s *source) expel(id identity) {
	p, ok := s.named[id]
	if !ok {
		p = s.d.find(id)
		ok = p != nil
	}
	s.drop(id)
	if ok && len(p.listed) == 0 {
		p.replaced = true
	}
}

// names reports whether the source lists any provider at a place. d.mu is held.
func (s *source) names(place identity) bool {
	return slices.ContainsFunc(s.d.places[place], func(p *provider) bool { return p.by(s) != nil })
}

// groupsOf returns what to ask a registry for: the reference itself, and for a
// list of groups one copy a group, because dubbo-go's registries compare groups
// literally.
func groupsOf(ref *common.URL) []*common.URL {
	groups := ref.GetParam(constant.GroupKey, "")
	if !strings.Contains(groups, ",") {
		return []*common.URL{ref}
	}
	var out []*common.URL
	for group := range strings.SplitSeq(groups, ",") {
		c := ref.Clone()
		c.SetParam(constant.GroupKey, strings.TrimSpace(group))
		out = append(out, c)
	}
	return out
}
