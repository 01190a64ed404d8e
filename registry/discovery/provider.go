// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/internal/self"
)

// redial is the pause after a connection that could not be made; it doubles up
// to redialMax. dubbo-go's dubbo protocol returns nil for a dead address.
const (
	redial    = time.Second
	redialMax = 30 * time.Second
)

// A provider that the registry no longer lists lingers: it may drain for as long
// as its notice and timeout last.
const (
	lingerTime = 40 * time.Second
	sweepEvery = time.Second
)

// identity tells providers apart: two processes at one address are two.
type identity struct {
	address, incarnation string
	kind                 *kind
}

// kind is what nearly all providers of a directory have in common; one object each.
type kind struct{ protocol, service string }

// provider is what is known of one provider of the reference. What each push looks at
// comes first: with thousands of them the time goes into fetching them.
type provider struct {
	id       identity
	endpoint *endpoint.Endpoint // nil until the connection is made
	nth      int32              // of Directory.known
	alone    bool               // nothing else is at its place
	replaced bool               // another incarnation has its address, or it must not be called
	url      *common.URL        // as the last registry did that named it
	left     time.Time          // when the last registry ceased to list it, else zero
	over     map[string]string  // what overrides of the config centre say of it, mostly nothing
	listed   []listing          // by the registries that name it
	first    [1]listing         // room for one, which is mostly all

	start    time.Time
	instance *endpoint.Instance
	merged   *common.URL       // of which dubbo-go's health watch makes the name that it has for it
	watch    uint64            // hash of that name, which is long
	linked   map[string]string // the part of over of which the connection was made
	plain    map[string]string // what its URL says itself where another part has been written into it
	retry    *time.Timer
	vanished bool  // it left, and nobody listens at its address any more
	looks    uint8 // for the latter, since it left
}

// param returns what the provider's registries say under key: the first that says
// anything, in the order of the reference. d.mu is held.
func (d *Directory) param(p *provider, key string) string {
	if len(p.listed) == 0 { // it drains in the lane in which it was
		return p.url.GetParam(key, "")
	}
	for _, s := range d.sources {
		if l := p.by(s); l != nil {
			if v := l.url.GetParam(key, ""); v != "" {
				return v
			}
		}
	}
	return ""
}

// by returns how a source names the provider, nil if it does not. The listing is
// one of p.listed.
func (p *provider) by(s *source) *listing {
	for n := range p.listed {
		if p.listed[n].source == s {
			return &p.listed[n]
		}
	}
	return nil
}

// kindOf returns the one object for a kind. d.mu is held.
func (d *Directory) kindOf(k kind) *kind {
	if d.kind != nil && *d.kind == k {
		return d.kind
	}
	d.kind = d.kinds[k]
	if d.kind == nil {
		own := k // a copy, so that only these are on the heap
		d.kind = &own
		d.kinds[k] = d.kind
	}
	return d.kind
}

// place is where a provider is, whichever incarnation it is.
func (id identity) place() identity {
	id.incarnation = ""
	return id
}

// provider returns the provider that a source names id by u, and connects to it in
// the background if it is new. Of several incarnations at one address only the
// newest lives: nil means that u is one that died. d.mu is held.
func (d *Directory) provider(s *source, id identity, u *common.URL) *provider {
	place := id.place()
	if at := d.places[place]; len(at) == 1 && at[0].id == id { // nearly all of a list, nearly always
		return at[0]
	}
	start, window := meta.Birth(func(k string) string { return u.GetParam(k, "") })
	if known := d.find(id); known == nil && strings.HasPrefix(id.incarnation, "@") && !s.names(place) {
		// Without an incarnation the same process may look like two at two registries.
		for _, p := range d.places[place] {
			if p.left.IsZero() {
				return p
			}
		}
	}
	var before *provider
	for _, p := range d.places[place] {
		if p.id == id {
			continue
		}
		if p.left.IsZero() && p.start.After(start) {
			return nil // the registry still lists the one that died
		}
		p.replaced = true
		d.forget(p)
		before = p
	}
	if p := d.find(id); p != nil {
		return p
	}
	p := &provider{id: id, start: start, nth: int32(len(d.known))}
	p.instance = endpoint.Shared.Acquire(u.Location, id.incarnation, u.GetParam(constant.ApplicationKey, ""),
		endpoint.Birth{Start: start, Window: window, Appeared: s.settled})
	d.known = append(d.known, p)
	if before != nil { // lists name it in that one's place
		d.known[p.nth], d.known[before.nth] = before, p
		p.nth, before.nth = before.nth, p.nth
	}
	d.places[place] = append(d.places[place], p)
	d.tell(place)
	d.work(func() {
		d.connect(p, u, redial)
	})
	return p
}

// find returns a provider by its identity, nil if there is none. d.mu is held.
func (d *Directory) find(id identity) *provider {
	for _, p := range d.places[id.place()] {
		if p.id == id {
			return p
		}
	}
	return nil
}

// tell notes at those of a place whether there is one. d.mu is held.
func (d *Directory) tell(place identity) {
	all := d.places[place]
	for _, p := range all {
		p.alone = len(all) == 1
	}
}

// refresh takes over what may change in a provider that stays: tag and weight. said
// is what one of its registries says now, nil if one has ceased to list it.
// d.mu is held.
func (d *Directory) refresh(p *provider, said *entry) {
	d.reconsider(p)
	e := p.endpoint
	if e == nil {
		return
	}
	e.SetSaid(p.url)
	if d.foreign {
		e.Invoker.GetURL().SetAttribute(meta.Provider, p.url)
	}
	var tag string
	var weight float64
	if said != nil && len(d.sources) == 1 && p.over == nil {
		tag, weight = said.tag, said.weight
	} else {
		tag, weight = d.describe(p)
	}
	if e.Tag != tag || e.Weight != weight {
		p.endpoint = e.With(tag, weight)
		show(e.Invoker.GetURL(), tag, weight)
	}
}

// describe returns a provider's tag and weight. d.mu is held.
func (d *Directory) describe(p *provider) (tag string, weight float64) {
	tag, ok := p.over[constant.Tagkey]
	if !ok {
		tag = d.param(p, constant.Tagkey)
	}
	return tag, meta.Weight(func(key string) string { return d.weigh(p, key) })
}

// whole is a weight for those who know no fractions and take 0 for unset.
func whole(weight float64) int {
	if weight <= 0 {
		return 0
	}
	return max(1, int(math.Round(weight)))
}

// show makes those who read the URL, which is merged once, see what the registries
// say now: the tag router under clusters other than ours the tag, dubbo-go's
// balancers the weight that ours sees and no age. They take 0 for a weight, also where a
// method's settings say nothing of it, and round robin then gives everything to the first
// provider; a method's weight beyond [meta.MaxWeight] would upset its counters for good;
// their own warm-up, over remote.timestamp, would come on top of ours. In mode observe
// they see what they would see without us.
func show(u *common.URL, tag string, weight float64) {
	if conf.Current().Mode != conf.Enforce {
		return
	}
	if u.GetParam(constant.Tagkey, "") != tag {
		u.SetParam(constant.Tagkey, tag)
	}
	u.SetParam(constant.WeightKey, strconv.Itoa(whole(weight)))
	u.DelParam(constant.RemoteTimestampKey)
	var unset []string
	meta.EachMethod(u, constant.WeightKey, func(method, value string) {
		if w, err := strconv.ParseInt(value, 10, 64); err == nil && (w == 0 || w > meta.MaxWeight) {
			unset = append(unset, method)
		}
	})
	for _, method := range unset {
		u.DelParam(meta.MethodKey(method, constant.WeightKey))
	}
}

// connect makes the invoker, off the lock, and publishes the endpoint. It tries
// again for as long as the provider is known.
func (d *Directory) connect(p *provider, u *common.URL, pause time.Duration) {
	merged := u.MergeURL(d.ref)
	if d.foreign {
		merged.SetAttribute(meta.Provider, u) // rules ask what the provider said, not what the reference did
	}
	// dubbo-go merges a reference's own tag into the provider; Java does not. Nor may
	// a provider without group or version take the reference's "*".
	for _, key := range [...]string{constant.Tagkey, constant.GroupKey, constant.VersionKey} {
		if own := u.GetParam(key, ""); merged.GetParam(key, "") != own {
			merged.SetParam(key, own)
		}
	}
	if conf.Current().Mode == conf.Enforce {
		for _, key := range [...]string{constant.TimeoutKey, constant.LoadbalanceKey} {
			if own := d.ref.GetParam(key, ""); own != "" {
				merged.SetParam(key, own) // dubbo-go takes it for references with a list of methods only
			}
		}
	}
	key := merged.ServiceKey()
	d.mu.Lock()
	over := p.over
	linked := link(merged.Protocol, over)
	for key, value := range linked {
		merged.SetParam(key, value)
	}
	plain := rewrite(merged, nil, over)
	if !d.gone && !d.watched[key] { // else nobody would unregister it
		d.watched[key] = true
		graceful_shutdown.DefaultClosingDirectoryRegistry().Register(key, d)
	}
	p.merged, p.watch = merged, watchName(merged.GetCacheInvokerMapKey()) // before the watch can speak
	d.mu.Unlock()
	invoker := refer(merged)
	if invoker != nil && several(d.ref) {
		invoker = &grouped{invoker, merged.GetParam(constant.GroupKey, ""), merged.GetParam(constant.VersionKey, "")}
	}

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.find(p.id) != p || d.gone { // it left meanwhile
		if invoker != nil {
			go invoker.Destroy()
		}
		return
	}
	if invoker == nil {
		p.retry = time.AfterFunc(pause, func() { d.connect(p, u, min(2*pause, redialMax)) })
		return
	}
	p.linked, p.plain = linked, plain
	e := &endpoint.Endpoint{Instance: p.instance}
	e.SetSaid(p.url)
	if d.foreign {
		invoker = &counted{invoker, e}
	}
	e.Invoker = observed(invoker)
	e.Tag, e.Weight = d.describe(p)
	if p.instance.Named() {
		e.Caller = self.CallerTo(d.app, p.instance.Incarnation)
	}
	e.SetRemoved(!p.left.IsZero())
	show(e.Invoker.GetURL(), e.Tag, e.Weight)
	d.replace(p, e)
	if d.publishSoon(); d.connecting == 0 && !d.burst.full() { // tried again by itself
		d.publishNow()
	}
	if !maps.Equal(p.over, over) { // they have changed meanwhile
		d.adapt(p)
	}
}

// refer survives the panics that dubbo-go's protocols answer some addresses with.
func refer(u *common.URL) (invoker base.Invoker) {
	defer func() {
		if r := recover(); r != nil {
			logger.Warnf("[graylane] connecting to %s: %v", u.Location, r)
			invoker = nil
		}
	}()
	return extension.GetProtocol(protocolwrapper.FILTER).Refer(u)
}

// remove makes a provider that nobody lists one that is closing. It goes on serving
// calls that have nothing else, for it is still there while it drains, until it
// fails or lingerTime is over. d.mu is held.
func (d *Directory) remove(p *provider) {
	if !p.left.IsZero() {
		return
	}
	p.left, p.vanished, p.looks = time.Now(), false, 0
	if p.endpoint != nil {
		p.endpoint.SetRemoved(true)
		d.confirm(p)
	}
	if !d.gone {
		d.sweepLater()
	}
}

// forget removes a provider whatever its registries list. d.mu is held.
func (d *Directory) forget(p *provider) {
	for n := range p.listed {
		l := &p.listed[n]
		delete(l.source.named, l.name(p))
	}
	p.listed = nil
	d.remove(p)
}

// over tells whether a provider that left has nothing to give any more. d.mu is held.
func (d *Directory) over(p *provider) bool {
	return !p.left.IsZero() && (d.gone || p.replaced || p.vanished || p.instance.Outlier() || time.Since(p.left) >= lingerTime)
}

// sweepLater looks again for providers that are over, as long as any has left or is
// doubted. d.mu is held.
func (d *Directory) sweepLater() {
	if d.sweeping {
		return
	}
	d.sweeping = true
	time.AfterFunc(sweepEvery, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.sweeping = false
		if d.gone {
			return
		}
		changed, left := false, false
		for _, s := range d.sources {
			if s.held != nil {
				changed = s.undoubt() || changed
				left = left || s.held != nil
			}
		}
		for _, p := range d.known {
			if !p.left.IsZero() {
				left = true
				d.look(p)
			}
			changed = changed || d.over(p)
		}
		if changed {
			d.publish()
		}
		if left {
			d.sweepLater()
		}
	})
}

// drop forgets a provider that is in no list any more. Its invoker is destroyed
// when its last call has returned. d.mu is held.
func (d *Directory) drop(p *provider) {
	last := d.known[len(d.known)-1]
	d.known[p.nth], last.nth = last, p.nth
	d.known[len(d.known)-1] = nil
	d.known = d.known[:len(d.known)-1]
	place := p.id.place()
	rest := slices.DeleteFunc(d.places[place], func(q *provider) bool { return q == p })
	if d.places[place] = rest; len(rest) == 0 {
		delete(d.places, place)
	}
	d.tell(place)
	if p.retry != nil {
		p.retry.Stop()
	}
	e := p.endpoint
	if e == nil {
		endpoint.Shared.Release(p.instance)
		return
	}
	retire(e)
}
