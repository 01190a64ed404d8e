// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/metrics"
	metricsregistry "dubbo.apache.org/dubbo-go/v3/metrics/registry"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/node"
)

// Registry is the interface-level registry (registry-type: interface).
//
// dubbo-go's own cannot unregister, reports no instance that leaves and shares one
// event channel between all references, so that each sees the other's providers.
type Registry struct {
	url       *common.URL
	opts      options
	shared    *shared
	registrar *registrar
	ctx       context.Context // ends with Destroy
	cancel    context.CancelFunc
	once      sync.Once

	mu    sync.Mutex
	nodes map[string]string // URL key -> etcd key
	subs  map[*running]struct{}
}

var _ registry.Registry = (*Registry)(nil)

// running is one Subscribe call.
type running struct {
	key      string
	listener registry.NotifyListener
	cancel   context.CancelFunc
}

// NewRegistry returns a registry for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s), registry.group (default dubbo) and
// [LeaseTTLKey]. It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	opts, err := optionsOf(u)
	if err != nil {
		return nil, err
	}
	r := &Registry{url: u, opts: opts, shared: acquire(a), nodes: make(map[string]string), subs: make(map[*running]struct{})}
	r.registrar = newRegistrar(r.shared, opts.ttl)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// GetURL returns the registry's URL.
func (r *Registry) GetURL() *common.URL { return r.url }

// IsAvailable reports whether the registry is not destroyed, as dubbo-go's do.
func (r *Registry) IsAvailable() bool { return r.ctx.Err() == nil }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (r *Registry) Reconnected() time.Time { return r.shared.lastBack() }

// Destroy ends all subscriptions, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (r *Registry) Destroy() {
	r.once.Do(func() {
		r.cancel()
		ctx, cancel := context.WithTimeout(context.Background(), r.opts.timeout)
		defer cancel()
		r.registrar.close(ctx)
		r.shared.release()
	})
}

// Register writes u and keeps it there until UnRegister or Destroy. It returns
// when etcd has it, or after registry.timeout with the cause; then nothing stays
// registered. Registering the same URL again does nothing; the same service and
// address with other parameters replaces the former.
func (r *Registry) Register(u *common.URL) error {
	start := time.Now()
	err := r.register(u)
	metrics.Publish(metricsregistry.NewRegisterEvent(err == nil, start))
	return err
}

func (r *Registry) register(u *common.URL) error {
	key, err := node.Path(node.Group(r.url), u)
	if err != nil {
		return err
	}
	id := u.Key()
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.timeout)
	defer cancel()
	if err := r.registrar.put(ctx, key, ""); err != nil {
		return fmt.Errorf("register %s: %w", id, err)
	}
	r.mu.Lock()
	former := r.nodes[id]
	r.nodes[id] = key
	r.mu.Unlock()
	if former != "" && former != key {
		return r.registrar.remove(ctx, former)
	}
	return nil
}

// UnRegister deletes u and returns when it is gone, or after registry.timeout with
// the cause; then the deletion goes on in the background. A URL that is not
// registered is not an error.
func (r *Registry) UnRegister(u *common.URL) error {
	id := u.Key()
	r.mu.Lock()
	key := r.nodes[id]
	delete(r.nodes, id)
	r.mu.Unlock()
	if key == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.timeout)
	defer cancel()
	if err := r.registrar.remove(ctx, key); err != nil {
		return fmt.Errorf("unregister %s: %w", id, err)
	}
	return nil
}

// LoadSubscribeInstances hands the present list to listener by NotifyAll, also an
// empty one, or returns the cause after registry.timeout.
func (r *Registry) LoadSubscribeInstances(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.opts.timeout)
	defer cancel()
	v := newView(node.NewSubscription(node.Group(r.url), u), listener)
	for i, dir := range v.sub.Folders {
		list, err := r.load(ctx, dir)
		if err != nil {
			return fmt.Errorf("etcd: registry %s: %w", r.shared.address.endpoints, r.shared.explain(err))
		}
		v.replace(i, list) // the last one notifies
	}
	return nil
}

// load reads a folder, again and again until ctx ends.
func (r *Registry) load(ctx context.Context, dir string) ([]entry, error) {
	for n := 0; ; n++ {
		list, _, err := r.shared.read(ctx, dir, withPrefix)
		if err == nil || ctx.Err() != nil {
			return list, err
		}
		pause(ctx, retryDelay(n), nil)
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// Subscribe tells listener of everything that happens to the providers that u asks
// for: first the whole list by NotifyAll, then single events by Notify, and the
// whole list again whenever etcd was away. It blocks until UnSubscribe or Destroy;
// callers start it in a goroutine.
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
	var wg sync.WaitGroup
	for i, dir := range v.sub.Folders {
		wg.Go(func() {
			r.shared.follow(ctx, dir, follower{
				list:    func(list []entry) { v.replace(i, list) },
				changes: func(changes []change) { v.apply(i, changes) },
			}, withPrefix)
		})
	}
	wg.Wait()
	return nil
}

// UnSubscribe ends the Subscribe call that has the same URL key and listener. One
// that is not there is not an error.
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
