// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"runtime"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// readAtOnce is how many events at least make up for a goroutine that reads them.
const readAtOnce = 512

// reading is what a complete list comes to.
type reading struct {
	offered int     // providers
	still   int     // of them, known ones that are as they were: they are done with
	present []entry // the other ones, in the list's order
	drained []entry // see verdict
}

// readAll reads a complete list. Nearly all of the time a reader waits for memory, for
// each push brings new objects, and what is known of thousands of providers is in nobody's
// cache either. So a long list is read by as many readers as there are processors, and
// each of them compares what it has just read. d.mu is held.
func (s *source) readAll(events []*registry.ServiceEvent) reading {
	s.round++
	part := max(readAtOnce, (len(events)-1)/runtime.GOMAXPROCS(0)+1)
	parts := make([]reading, (len(events)+part-1)/part)
	var all sync.WaitGroup
	for n := range parts {
		from, to := n*part, min((n+1)*part, len(events))
		if to == len(events) { // the last one's, in this one
			parts[n] = s.readPart(events, from, to)
		} else {
			all.Go(func() { parts[n] = s.readPart(events, from, to) })
		}
	}
	all.Wait()
	var r reading
	for _, p := range parts {
		r.offered += p.offered
		r.still += p.still
		r.present = append(r.present, p.present...)
		r.drained = append(r.drained, p.drained...)
	}
	return r
}

// readPart reads the events from one place to another, and writes into those of the known
// that stand at the same places and nowhere else, for others read the other parts
// meanwhile. It is where nearly all of a list ends, nearly always.
func (s *source) readPart(events []*registry.ServiceEvent, from, to int) (r reading) {
	d := s.d
	reader := d.newReader()
	simple := len(d.sources) == 1 && len(d.overrides.texts) == 0 && !d.foreign
	if len(d.known) == 0 {
		r.present = make([]entry, 0, to-from)
	}
	var last, own *kind // of the reader, and the directory's object for it
	next := from        // where the one listed next is likely to stand among the known
	for _, e := range events[from:to] {
		if e == nil || e.Action == remoting.EventTypeDel {
			continue
		}
		said, is := reader.read(e.Service)
		switch is {
		case ignored:
			continue
		case drained:
			r.drained = append(r.drained, said)
			continue
		}
		r.offered++
		if said.kind != last {
			last, own = said.kind, d.kinds[*said.kind]
		}
		if simple && own != nil {
			if p := s.find(next, identity{said.url.Location, said.incarnation, own}); p != nil {
				next = int(p.nth) + 1
				if from < next && next <= to && s.same(p, &said) {
					if l := p.by(s); l.round != s.round {
						l.round = s.round
						r.still++
					}
					s.note(p, said.url)
					continue
				}
			}
		}
		r.present = append(r.present, said)
	}
	return r
}

// find returns the provider that the source names so, nil if there is none; next is
// where it is likely to stand among the known, which saves a look-up: registries keep to
// an order, mostly. d.mu is held.
func (s *source) find(next int, id identity) *provider {
	if next < len(s.d.known) {
		if p := s.d.known[next]; p.id == id {
			if l := p.by(s); l != nil && l.alias == nil {
				return p
			}
		}
	}
	return s.named[id]
}

// same reports that what the only source of a directory without overrides says of a
// provider that it names changes nothing. d.mu is held.
func (s *source) same(p *provider, said *entry) bool {
	e := p.endpoint
	return e != nil && p.alone && p.left.IsZero() && !p.replaced && p.over == nil &&
		e.Tag == said.tag && e.Weight == said.weight && p.by(s).alias == nil
}

// note takes the newest URL of a provider that is as it was. d.mu is held.
func (s *source) note(p *provider, u *common.URL) {
	l := p.by(s)
	l.url, l.doubted = u, false
	p.url = u
	p.endpoint.SetSaid(u)
}
