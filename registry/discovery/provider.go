// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
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
	protocol, address, service, incarnation string
}

// provider is what is known of one provider of the reference.
type provider struct {
	id       identity
	url      *common.URL // as the registry last listed it
	start    time.Time
	instance *endpoint.Instance
	endpoint *endpoint.Endpoint // nil until the connection is made
	watchKey string             // how dubbo-go's health watch names it
	retry    *time.Timer
	left     time.Time // when the registry ceased to list it, else zero
	replaced bool      // another incarnation has its address
	doubted  bool      // the held list does not name it
}

// identify reads a provider's identity from its URL. Peers without an incarnation
// are told apart by the time at which they started, where they publish one.
func identify(u *common.URL) identity {
	incarnation := u.GetParam(tag.MetaIncarnation, "")
	if incarnation == "" {
		incarnation = "@" + u.GetParam(constant.TimestampKey, "")
	}
	return identity{u.Protocol, u.Location, u.ServiceKey(), incarnation}
}

// place is where a provider is, whichever incarnation it is.
func (id identity) place() identity {
	id.incarnation = ""
	return id
}

// add makes a provider known and connects to it in the background. Of several
// incarnations at one address only the newest lives. d.mu is held.
func (d *Directory) add(u *common.URL) {
	id := identify(u)
	start, window := meta.Birth(func(k string) string { return u.GetParam(k, "") })
	place := id.place()
	for _, p := range d.places[place] {
		if p.id == id {
			continue
		}
		if p.left.IsZero() && p.start.After(start) {
			return // the registry still lists the one that died
		}
		d.remove(p.id)
		p.replaced = true
	}
	if p, ok := d.known[id]; ok {
		p.url, p.left, p.replaced, p.doubted = u, time.Time{}, false, false
		if p.endpoint != nil {
			p.endpoint.SetRemoved(false)
		}
		d.refresh(p, u)
		return
	}
	p := &provider{id: id, url: u, start: start}
	p.instance = endpoint.Shared.Acquire(u.Location, id.incarnation, u.GetParam(constant.ApplicationKey, ""),
		endpoint.Birth{Start: start, Window: window, Appeared: d.settled})
	d.known[id] = p
	d.places[place] = append(d.places[place], p)
	d.work(func() {
		d.connect(p, u, redial)
	})
}

// refresh takes over what may change in a provider that stays: tag and weight.
// d.mu is held.
func (d *Directory) refresh(p *provider, u *common.URL) {
	e := p.endpoint
	if e == nil || e.Tag == u.GetParam(constant.Tagkey, "") && e.Weight == weight(u) {
		return
	}
	p.endpoint = e.With(u.GetParam(constant.Tagkey, ""), weight(u))
}

// connect makes the invoker, off the lock, and publishes the endpoint. It tries
// again for as long as the provider is known.
func (d *Directory) connect(p *provider, u *common.URL, pause time.Duration) {
	merged := u.MergeURL(d.ref)
	// dubbo-go merges a reference's own tag into the provider; Java does not.
	merged.SetParam(constant.Tagkey, u.GetParam(constant.Tagkey, ""))
	if own := d.ref.GetParam(constant.TimeoutKey, ""); own != "" && conf.Current().Mode == conf.Enforce {
		merged.SetParam(constant.TimeoutKey, own) // dubbo-go takes it for references with a list of methods only
	}
	key := merged.ServiceKey()
	d.mu.Lock()
	if !d.gone { // else nobody would unregister it
		graceful_shutdown.DefaultClosingDirectoryRegistry().Register(key, d)
	}
	p.watchKey = merged.GetCacheInvokerMapKey() // before the watch can speak
	d.mu.Unlock()
	invoker := refer(merged)

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[p.id] != p || d.gone { // it left meanwhile
		if invoker != nil {
			go invoker.Destroy()
		}
		return
	}
	if invoker == nil {
		p.retry = time.AfterFunc(pause, func() { d.connect(p, u, min(2*pause, redialMax)) })
		return
	}
	e := &endpoint.Endpoint{Instance: p.instance, Invoker: observed(invoker), Tag: p.url.GetParam(constant.Tagkey, ""), Weight: weight(p.url)}
	if p.instance.Named() {
		e.Caller = self.CallerID(d.app) + ";" + p.instance.Incarnation
	}
	e.SetRemoved(!p.left.IsZero())
	p.endpoint = e
	d.publishSoon()
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

// remove makes a provider one that is closing. It goes on serving calls that have
// nothing else, for it is still there while it drains, until it fails or lingerTime
// is over. d.mu is held.
func (d *Directory) remove(id identity) {
	p, ok := d.known[id]
	if !ok || !p.left.IsZero() {
		return
	}
	p.left = time.Now()
	if p.endpoint != nil {
		p.endpoint.SetRemoved(true)
	}
	if !d.gone {
		d.sweepLater()
	}
}

// over tells whether a provider that left has nothing to give any more. d.mu is held.
func (d *Directory) over(p *provider) bool {
	return !p.left.IsZero() && (d.gone || p.replaced || p.instance.Outlier() || time.Since(p.left) >= lingerTime)
}

// sweepLater looks again for providers that are over, as long as any has left.
// d.mu is held.
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
		for _, p := range d.known {
			left = left || !p.left.IsZero()
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
	delete(d.known, p.id)
	place := p.id.place()
	rest := slices.DeleteFunc(d.places[place], func(q *provider) bool { return q == p })
	if d.places[place] = rest; len(rest) == 0 {
		delete(d.places, place)
	}
	if p.retry != nil {
		p.retry.Stop()
	}
	e := p.endpoint
	if e == nil {
		endpoint.Shared.Release(p.instance)
		return
	}
	e.Retire(func() {
		go func() { // a Triple invoker waits for its lock
			e.Invoker.Destroy()
			endpoint.Shared.Release(e.Instance)
		}()
	})
}

func weight(u *common.URL) float64 {
	return meta.Weight(func(key string) string { return u.GetParam(key, "") })
}
