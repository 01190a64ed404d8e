// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/cluster/router/chain"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
)

// Directory follows the providers of one reference at one registry. It is safe
// for concurrent use; List takes no lock inside the cluster `lossless`.
type Directory struct {
	url *common.URL // of the registry; its SubURL is the reference
	ref *common.URL
	app string

	list     atomic.Pointer[[]*endpoint.Endpoint] // never nil
	watchers atomic.Pointer[[]*func()]

	mu       sync.Mutex
	known    map[identity]*provider
	places   map[identity][]*provider // the same, by place
	soon     bool                     // publishSoon is under way
	settled  bool                     // the first list has been believed: what comes later appeared
	held     *time.Timer              // runs while an empty list is held back
	gone     bool
	sweeping bool
	first    chan struct{} // closed with the first word of the registry
	once     sync.Once

	connecting int           // connections being made
	idle       chan struct{} // closed, and made anew, when connecting falls to 0

	chainOnce sync.Once
	chain     *chain.RouterChain
	release   func()
}

var (
	_ directory.Directory              = (*Directory)(nil)
	_ directory.ClosingInstanceRemover = (*Directory)(nil)
	_ endpoint.Source                  = (*Directory)(nil)
	_ registry.NotifyListener          = (*Directory)(nil)
)

func newDirectory(u *common.URL) *Directory {
	d := &Directory{
		url: u, ref: u.SubURL, app: u.SubURL.GetParam(constant.ApplicationKey, ""),
		known: make(map[identity]*provider), places: make(map[identity][]*provider), first: make(chan struct{}), idle: make(chan struct{}),
	}
	d.list.Store(&[]*endpoint.Endpoint{})
	return d
}

// GetURL returns the registry's URL, whose SubURL is the reference.
func (d *Directory) GetURL() *common.URL { return d.url }

// IsAvailable reports whether any endpoint is usable.
func (d *Directory) IsAvailable() bool {
	return slices.ContainsFunc(*d.list.Load(), func(e *endpoint.Endpoint) bool { return e.Usable() })
}

// Endpoints implements [endpoint.Source].
func (d *Directory) Endpoints() []*endpoint.Endpoint { return *d.list.Load() }

// Watch implements [endpoint.Source].
func (d *Directory) Watch(fn func()) (cancel func()) {
	p := &fn
	d.mu.Lock()
	defer d.mu.Unlock()
	list := append(slices.Clone(d.watching()), p)
	d.watchers.Store(&list)
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		rest := slices.DeleteFunc(slices.Clone(d.watching()), func(q *func()) bool { return q == p })
		d.watchers.Store(&rest)
	}
}

func (d *Directory) watching() []*func() {
	if p := d.watchers.Load(); p != nil {
		return *p
	}
	return nil
}

// List serves the clusters of dubbo-go: the usable endpoints after its routers.
// Where none is usable it lists the others.
func (d *Directory) List(inv base.Invocation) []base.Invoker {
	d.chainOnce.Do(d.makeChain)
	if d.chain == nil {
		return usable(*d.list.Load())
	}
	return d.chain.Route(d.ref, inv)
}

// makeChain builds dubbo-go's router chain when a foreign cluster first lists.
func (d *Directory) makeChain() {
	c, err := chain.NewRouterChain(d.url)
	if err != nil {
		logger.Warnf("[graylane] %s: no router chain: %v", d.ref.Service(), err)
		return
	}
	update := func() { c.SetInvokers(usable(*d.list.Load())) }
	update()
	dirty := make(chan struct{}, 1)
	poke := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	stops := []func(){d.Watch(poke), endpoint.Shared.Watch(poke)}
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-dirty:
				update()
			case <-done:
				return
			}
		}
	}()
	d.chain = c
	d.mu.Lock()
	defer d.mu.Unlock()
	d.release = func() {
		for _, stop := range stops {
			stop()
		}
		close(done)
	}
}

func usable(list []*endpoint.Endpoint) []base.Invoker {
	out := make([]base.Invoker, 0, len(list))
	for _, e := range list {
		if e.Usable() {
			out = append(out, e.Invoker)
		}
	}
	if len(out) == 0 {
		for _, e := range list {
			out = append(out, e.Invoker)
		}
	}
	return out
}

// Subscribe is part of dubbo-go's interface; [Refer] subscribes.
func (d *Directory) Subscribe(*common.URL) error { return nil }

// Notify implements dubbo-go's NotifyListener for a single event.
func (d *Directory) Notify(e *registry.ServiceEvent) {
	if e == nil || !d.accepts(e.Service) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	if e.Action == remoting.EventTypeDel {
		d.remove(identify(e.Service))
	} else {
		d.add(e.Service)
	}
	d.publish()
	d.heard()
}

// NotifyAll implements dubbo-go's NotifyListener for a complete list. An empty
// one is held back for discovery.empty-protection while endpoints are known that
// have not said that they leave.
func (d *Directory) NotifyAll(events []*registry.ServiceEvent, done func()) {
	if done != nil {
		defer done()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	var present []*common.URL
	for _, e := range events {
		if d.accepts(e.Service) && e.Action != remoting.EventTypeDel {
			present = append(present, e.Service)
		}
	}
	if len(present) == 0 && d.hold() {
		return
	}
	d.unhold()
	d.replace(present)
	d.publish()
	d.heard()
}

func (d *Directory) replace(present []*common.URL) {
	named := make(map[identity]bool, len(present))
	for _, u := range present {
		named[identify(u)] = true
	}
	for id := range d.known { // first, so that no clock of another machine keeps a newcomer out
		if !named[id] {
			d.remove(id)
		}
	}
	for _, u := range present {
		d.add(u)
	}
}

// hold keeps the present list for a while. d.mu is held.
func (d *Directory) hold() bool {
	alive := false
	for _, p := range d.known {
		alive = alive || p.left.IsZero() && !p.instance.Closing()
	}
	wait := conf.Current().Discovery.EmptyProtection
	if !alive || wait == 0 {
		return false
	}
	for _, p := range d.known {
		p.doubted = true
	}
	if d.held == nil {
		logger.Warnf("[graylane] %s: the registry's list is empty, %d endpoints are kept for %v", d.ref.Service(), len(d.known), wait)
		d.held = time.AfterFunc(wait, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			if d.held != nil && !d.gone {
				d.held = nil
				for id, p := range d.known {
					if p.doubted { // not named by a later event
						d.remove(id)
					}
				}
				d.publish()
			}
		})
	}
	return true
}

func (d *Directory) unhold() {
	if d.held != nil {
		d.held.Stop()
		d.held = nil
	}
}

func (d *Directory) heard() {
	d.settled = true
	d.once.Do(func() { close(d.first) })
}

// accepts leaves out configuration URLs and providers of another protocol.
func (d *Directory) accepts(u *common.URL) bool {
	if u == nil {
		return false
	}
	switch u.Protocol {
	case "", constant.OverrideProtocol, constant.RouterProtocol, constant.EmptyProtocol, "consumer":
		return false
	}
	if c := u.GetParam(constant.CategoryKey, constant.ProviderCategory); !strings.Contains(c, constant.ProviderCategory) {
		return false
	}
	return d.ref.Protocol == "" || d.ref.Protocol == u.Protocol
}

// publish stores the endpoints that have a connection, then drops those that are
// over: in this order, so that no call finds only endpoints that are gone. d.mu is held.
func (d *Directory) publish() {
	list := make([]*endpoint.Endpoint, 0, len(d.known))
	var over []*provider
	for _, p := range d.known {
		if d.over(p) {
			over = append(over, p)
		} else if p.endpoint != nil {
			list = append(list, p.endpoint)
		}
	}
	d.list.Store(&list)
	for _, fn := range d.watching() {
		(*fn)()
	}
	for _, p := range over {
		d.drop(p)
	}
}

// work runs fn in a goroutine that counts as a connection being made. d.mu is held.
func (d *Directory) work(fn func()) {
	d.connecting++
	go func() {
		fn()
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.connecting--; d.connecting == 0 {
			close(d.idle)
			d.idle = make(chan struct{})
		}
	}()
}

// connected returns a channel that is closed once no connection is being made.
func (d *Directory) connected() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connecting > 0 {
		return d.idle
	}
	none := make(chan struct{})
	close(none)
	return none
}

// publishSoon publishes once for all connections that are made at about the same
// time, for a list of n would else take n lists to come. d.mu is held.
func (d *Directory) publishSoon() {
	if d.soon {
		return
	}
	d.soon = true
	d.work(func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.soon = false
		if !d.gone {
			d.publish()
		}
	})
}

// RemoveClosingInstance takes a provider's NOT_SERVING, which dubbo-go's Triple
// client hands to every directory registered for it. The endpoint leaves the
// pools and goes on with the calls that it has.
func (d *Directory) RemoveClosingInstance(key string) bool {
	d.mu.Lock()
	var found []*endpoint.Instance
	for _, p := range d.known {
		if p.watchKey == key && p.instance != nil {
			found = append(found, p.instance)
		}
	}
	d.mu.Unlock()
	for _, i := range found {
		i.MarkClosing()
	}
	return len(found) > 0
}

// Destroy forgets all endpoints; each is destroyed when its last call has returned.
func (d *Directory) Destroy() {
	d.mu.Lock()
	if d.gone {
		d.mu.Unlock()
		return
	}
	d.gone = true
	d.unhold()
	for id := range d.known {
		d.remove(id)
	}
	d.publish()
	release := d.release
	d.once.Do(func() { close(d.first) })
	d.mu.Unlock()
	if release != nil {
		release()
	}
	graceful_shutdown.DefaultClosingDirectoryRegistry().Unregister(d.ref.ServiceKey(), d)
}
