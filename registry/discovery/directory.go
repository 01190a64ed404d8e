// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"hash/maphash"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/routers"
)

// Directory follows the providers of one reference at all of its registries. It is
// safe for concurrent use; List takes no lock inside the cluster `lossless`.
type Directory struct {
	url *common.URL // of the first registry; its SubURL is the reference
	ref *common.URL
	app string

	list     atomic.Pointer[[]*endpoint.Endpoint] // never nil
	watchers atomic.Pointer[[]*func()]

	mu       sync.Mutex
	sources  []*source
	known    []*provider              // in an order that lasts, so that those who go through them find them side by side
	places   map[identity][]*provider // the same, by place
	kinds    map[kind]*kind
	kind     *kind           // that was asked for last
	watched  map[string]bool // service keys under which dubbo-go's health watches find this directory
	soon     *time.Timer     // runs while events or connections wait to be published
	burst    burst
	gone     bool
	sweeping bool

	connecting int           // connections being made or waiting for it
	waiting    []func()      // the latter
	working    int           // goroutines that make them
	idle       chan struct{} // closed, and made anew, when all that were made are published
	owed       bool          // none is being made, and idle is closed with the next publishing

	overrideOnce sync.Once
	overrides    overriding
	saidOfRef    map[string]string          // what they say of the reference
	reference    atomic.Pointer[common.URL] // with it; nil: they say nothing

	foreign   bool // for a cluster other than ours; immutable once others know the directory
	chainOnce sync.Once
	chain     *routers.Chain
	release   func()
}

var (
	_ directory.Directory              = (*Directory)(nil)
	_ directory.ClosingInstanceRemover = (*Directory)(nil)
	_ endpoint.Source                  = (*Directory)(nil)
)

func newDirectory(u *common.URL) *Directory {
	d := &Directory{
		url: u, ref: u.SubURL, app: u.SubURL.GetParam(constant.ApplicationKey, ""),
		places: make(map[identity][]*provider), kinds: make(map[kind]*kind), watched: make(map[string]bool), idle: make(chan struct{}),
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

// List serves the clusters of dubbo-go: the usable endpoints after the routers,
// the ladder among them. Where none is usable it lists the others.
func (d *Directory) List(inv base.Invocation) []base.Invoker {
	d.chainOnce.Do(d.makeChain)
	known := *d.list.Load()
	list := usable(known)
	if d.chain == nil {
		return list
	}
	left := d.chain.Route(list, inv)
	if len(left) == 0 && len(list) < len(known) { // a lane of closing ones, and nothing below it
		left = d.chain.Route(all(known), inv)
	}
	return left
}

// makeChain builds the routers' chain for a cluster of dubbo-go's.
func (d *Directory) makeChain() {
	c := routers.New(d.url, "")
	if c == nil {
		return
	}
	stop := c.Follow(func() []base.Invoker { return all(*d.list.Load()) }, d.Watch)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chain = c
	d.release = func() {
		stop()
		c.Close()
	}
}

func all(list []*endpoint.Endpoint) []base.Invoker {
	out := make([]base.Invoker, len(list))
	for n, e := range list {
		out[n] = e.Invoker
	}
	return out
}

func usable(list []*endpoint.Endpoint) []base.Invoker {
	out := make([]base.Invoker, 0, len(list))
	for _, e := range list {
		if e.Usable() {
			out = append(out, e.Invoker)
		}
	}
	if len(out) == 0 {
		return all(list)
	}
	return out
}

// Subscribe is part of dubbo-go's interface; [Refer] subscribes.
func (d *Directory) Subscribe(*common.URL) error { return nil }

// publish stores the endpoints that have a connection, then drops those that are
// over: in this order, so that no call finds only endpoints that are gone. d.mu is held.
func (d *Directory) publish() {
	list := make([]*endpoint.Endpoint, 0, len(d.known))
	var over []*provider
	for _, p := range d.known {
		if d.over(p) {
			over = append(over, p)
		} else if p.endpoint != nil && !p.disabled() {
			list = append(list, p.endpoint)
		}
	}
	if d.foreign { // dubbo-go's order is any; `available` takes the first, which must not be the same at every caller
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	d.list.Store(&list)
	for _, fn := range d.watching() {
		(*fn)()
	}
	for _, p := range over {
		d.drop(p)
	}
}

// workers bounds the connections that are made at once. A dead address may hold one
// for seconds; ten thousand at once would leave ten thousand goroutines' memory.
const workers = 256

// work runs fn in a goroutine, and counts it as a connection being made. d.mu is held.
func (d *Directory) work(fn func()) {
	d.connecting++
	d.waiting = append(d.waiting, fn)
	if d.working < workers {
		d.working++
		go d.worker()
	}
}

// worker makes connections until none waits.
func (d *Directory) worker() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for len(d.waiting) > 0 {
		fn := d.waiting[0]
		d.waiting = d.waiting[1:]
		d.mu.Unlock()
		fn()
		d.mu.Lock()
		if d.connecting--; d.connecting == 0 {
			d.owed = true
			if d.soon == nil || !d.burst.full() {
				d.publishNow()
			}
		}
	}
	d.waiting = nil
	d.working--
}

// connected returns a channel that is closed once no connection is being made, and
// those that were are published.
func (d *Directory) connected() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.connecting > 0 || d.owed {
		return d.idle
	}
	none := make(chan struct{})
	close(none)
	return none
}

// publishWithin is how long what a burst brings may wait to be published together.
const publishWithin = 10 * time.Millisecond

// burst counts what is published by itself within publishWithin.
type burst struct {
	since time.Time
	n     int
}

// burstFrom is how much may be: an event and the connection that it brings, twice.
const burstFrom = 4

// full counts one more and reports whether it is one of a burst.
func (b *burst) full() bool {
	if now := time.Now(); now.Sub(b.since) >= publishWithin {
		*b = burst{since: now}
	}
	b.n++
	return b.n > burstFrom
}

// publishSoon publishes within publishWithin: a list of n whose connections are made
// at about the same time would else take n lists to come, and so would n single
// events. d.mu is held.
func (d *Directory) publishSoon() {
	if d.soon == nil {
		d.soon = time.AfterFunc(publishWithin, func() {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.publishNow()
		})
	}
}

// publishBurst publishes at once, or soon if that is done too often. Nobody waits to
// hear of an endpoint that left: what its state says counts at once. d.mu is held.
func (d *Directory) publishBurst() {
	d.publishSoon()
	if !d.burst.full() {
		d.publishNow()
	}
}

// publishNow publishes what waits for it. d.mu is held.
func (d *Directory) publishNow() {
	if d.soon != nil {
		d.soon.Stop()
		d.soon = nil
		if !d.gone {
			d.publish()
		}
	}
	if d.owed && d.connecting == 0 {
		d.owed = false
		close(d.idle)
		d.idle = make(chan struct{})
	}
}

var watchSeed = maphash.MakeSeed() //nolint:gochecknoglobals // a constant of the process

func watchName(key string) uint64 { return maphash.String(watchSeed, key) }

// RemoveClosingInstance takes a provider's NOT_SERVING, which dubbo-go's Triple
// client hands to every directory registered for it. The endpoint leaves the
// pools and goes on with the calls that it has.
func (d *Directory) RemoveClosingInstance(key string) bool {
	name := watchName(key)
	d.mu.Lock()
	var found []leaving
	for _, p := range d.known {
		if p.watch == name && p.merged != nil && p.merged.GetCacheInvokerMapKey() == key {
			found = append(found, leaving{p.instance, p.endpoint, p.merged})
		}
	}
	d.mu.Unlock()
	for _, l := range found {
		l.heed()
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
	for _, p := range d.known {
		d.forget(p)
	}
	for _, s := range d.sources {
		s.unhold()
		s.heard()
		if s.end != nil {
			go s.end()
		}
	}
	d.publish()
	release, watched, sources, overrides := d.release, d.watched, d.sources, d.overrides
	d.mu.Unlock()
	if release != nil {
		release()
	}
	overrides.end()
	for key := range watched { // nobody adds to it any more
		graceful_shutdown.DefaultClosingDirectoryRegistry().Unregister(key, d)
	}
	d.live(false)
	forgetWildcards(sources)
	separate(d)
}
