// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/metrics"
	metricsregistry "dubbo.apache.org/dubbo-go/v3/metrics/registry"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/node"
)

// Registry is the interface-level registry (registry-type: interface).
//
// The subscriptions of dubbo-go's own end with the first break of its connection, and
// its session is turned away for ever by a server that has lost its data.
type Registry struct {
	url       *common.URL
	timeout   time.Duration
	s         *shared
	registrar *registrar
	ctx       context.Context // ends with Destroy
	cancel    context.CancelFunc
	once      sync.Once

	mu    sync.Mutex
	nodes map[string]string // URL key -> node
	subs  map[*running]struct{}
}

var _ registry.Registry = (*Registry)(nil)

// running is one Subscribe call.
type running struct {
	key      string
	listener registry.NotifyListener
	cancel   context.CancelFunc
}

// NewRegistry returns a registry for u: Location "host:port[,host:port]", parameters
// registry.timeout (default 5s; of an operation and of the session) and registry.group
// (default dubbo). It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	s, err := acquire(u)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	r := &Registry{url: u, timeout: timeoutOf(u), s: s, nodes: make(map[string]string), subs: make(map[*running]struct{})}
	r.registrar = newRegistrar(s)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// GetURL returns the registry's URL.
func (r *Registry) GetURL() *common.URL { return r.url }

// IsAvailable reports whether the registry is not destroyed, as dubbo-go's do.
func (r *Registry) IsAvailable() bool { return r.ctx.Err() == nil }

// Check asks whether the server answers. It returns nil, or one line that names
// address and cause.
func (r *Registry) Check(ctx context.Context) error { return r.s.check(ctx) }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (r *Registry) Reconnected() time.Time { return r.s.reconnected() }

// Destroy ends all subscriptions, takes out everything registered (at most
// registry.timeout) and gives the session back. A second call does nothing.
func (r *Registry) Destroy() {
	r.once.Do(func() {
		r.cancel()
		ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
		defer cancel()
		r.registrar.close(ctx)
		r.s.release()
	})
}

// Register writes u and keeps it there until UnRegister or Destroy, whatever happens
// to session and server. It returns when ZooKeeper has it, or after registry.timeout
// with the cause; then nothing stays registered. Registering the same URL again does
// nothing; the same service and address with other parameters replaces the former.
func (r *Registry) Register(u *common.URL) error {
	start := time.Now()
	err := r.register(u)
	metrics.Publish(metricsregistry.NewRegisterEvent(err == nil, start))
	return err
}

func (r *Registry) register(u *common.URL) error {
	at, err := node.Path(node.Group(r.url), u)
	if err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	id := u.Key()
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	if err := r.registrar.put(ctx, at, ""); err != nil {
		return fmt.Errorf("register %s: %w", id, err)
	}
	r.mu.Lock()
	former := r.nodes[id]
	r.nodes[id] = at
	r.mu.Unlock()
	if former != "" && former != at {
		return r.registrar.remove(ctx, former)
	}
	return nil
}

// UnRegister deletes u and returns when it is gone, or after registry.timeout with the
// cause; then the deletion goes on in the background. A URL that is not registered is
// not an error.
func (r *Registry) UnRegister(u *common.URL) error {
	id := u.Key()
	r.mu.Lock()
	at := r.nodes[id]
	delete(r.nodes, id)
	r.mu.Unlock()
	if at == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	if err := r.registrar.remove(ctx, at); err != nil {
		return fmt.Errorf("unregister %s: %w", id, err)
	}
	return nil
}

// LoadSubscribeInstances hands the present list to listener by NotifyAll, also an
// empty one, or returns the cause after registry.timeout.
func (r *Registry) LoadSubscribeInstances(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	v := newView(node.NewSubscription(node.Group(r.url), u), listener)
	for i, folder := range v.sub.Folders {
		list, err := r.s.list(ctx, path.Clean(folder), false)
		if err != nil {
			return fmt.Errorf("zookeeper: registry %s: %w", r.s.name(), err)
		}
		v.tell(i, list, true) // the last one notifies
	}
	return nil
}

// Subscribe tells listener of everything that happens to the providers that u asks
// for: first the whole list by NotifyAll, then single events by Notify, and the whole
// list again after each break of the connection. It blocks until UnSubscribe or
// Destroy; callers start it in a goroutine.
func (r *Registry) Subscribe(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	sub := &running{key: u.Key(), listener: listener, cancel: cancel}
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return errClosed
	}
	r.subs[sub] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.subs, sub)
		r.mu.Unlock()
	}()
	v := newView(node.NewSubscription(node.Group(r.url), u), listener)
	var following sync.WaitGroup
	for i, folder := range v.sub.Folders {
		following.Go(func() {
			r.s.follow(ctx, path.Clean(folder), false, func(list []entry, gap bool) { v.tell(i, list, gap) })
		})
	}
	following.Wait()
	return nil
}

// UnSubscribe ends the Subscribe call that has the same URL key and listener. One that
// is not there is not an error.
func (r *Registry) UnSubscribe(u *common.URL, listener registry.NotifyListener) error {
	key := u.Key()
	r.mu.Lock()
	defer r.mu.Unlock()
	for sub := range r.subs {
		if sub.key == key && sub.listener == listener {
			sub.cancel()
		}
	}
	return nil
}

// view is what one subscription knows of its folders (nearly always one), and the way
// to its listener.
type view struct {
	sub      node.Subscription
	listener registry.NotifyListener

	mu    sync.Mutex               // of this subscription only: keeps calls to the listener one at a time
	known []map[string]*common.URL // the wanted nodes of each folder, nil until it was read
}

func newView(sub node.Subscription, listener registry.NotifyListener) *view {
	return &view{sub: sub, listener: listener, known: make([]map[string]*common.URL, len(sub.Folders))}
}

// tell takes the nodes of folder i. One node that came or went by an event of its own
// is passed on as that, because a deletion is a word of its own; everything else as the
// whole list, once all folders have been read.
func (v *view) tell(i int, list []entry, gap bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.known[i]
	known := make(map[string]*common.URL, len(list))
	var events []*registry.ServiceEvent
	for _, e := range list {
		u := before[e.name]
		if u == nil {
			if u = v.parse(e.name); u == nil {
				continue
			}
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: u.Clone()})
		}
		known[e.name] = u
	}
	for name, u := range before {
		if known[name] == nil {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeDel, Service: u.Clone()})
		}
	}
	v.known[i] = known
	if !gap && before != nil && (len(events) < 2 || len(known) == 0) {
		for _, e := range events {
			v.listener.Notify(e)
		}
		return
	}
	v.all()
}

func (v *view) all() {
	var events []*registry.ServiceEvent
	for _, known := range v.known {
		if known == nil {
			return
		}
		for _, u := range known {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
		}
	}
	v.listener.NotifyAll(events, func() {})
}

// parse returns the URL that a node's name is, or nil if the consumer does not want it.
// Anybody can write to ZooKeeper: what is no URL is ignored.
func (v *view) parse(name string) *common.URL {
	u, err := common.NewURL(name)
	if err != nil || strings.TrimSpace(name) == "" {
		logger.Warnf("[graylane] zookeeper: ignored node %q: %v", name, err)
		return nil
	}
	if !v.sub.Matches(u) {
		return nil
	}
	return u
}
