// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"fmt"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/metrics"
	metricsregistry "dubbo.apache.org/dubbo-go/v3/metrics/registry"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// Services is a registry's part of the interface level.
type Services[P comparable, V any] interface {
	Keeper[P, V]

	// Entry returns what is written for u, and where.
	Entry(u *common.URL) (P, V, error)

	// Load hands the present list to l by NotifyAll, also an empty one, or returns the
	// cause, at the latest with ctx.
	Load(ctx context.Context, u *common.URL, l registry.NotifyListener) error

	// Follow tells l of everything that happens to the providers that u asks for, first
	// of the whole list, until ctx ends; then it returns.
	Follow(ctx context.Context, u *common.URL, l registry.NotifyListener)
}

// Registry is the interface level (registry-type: interface).
type Registry[P comparable, V any] struct {
	life[P, V]
	url      *common.URL
	services Services[P, V]

	mu    sync.Mutex
	nodes map[string]P // by URL key
	subs  map[*running]struct{}
}

var _ registry.Registry = (*Registry[string, string])(nil)

// running is one Subscribe call.
type running struct {
	key      string
	listener registry.NotifyListener
	cancel   context.CancelFunc
}

// NewRegistry returns a registry for its URL, which log lines and errors call name. One
// operation of a caller takes at most timeout.
func NewRegistry[P comparable, V any](name string, u *common.URL, timeout time.Duration, s Services[P, V]) *Registry[P, V] {
	r := &Registry[P, V]{url: u, services: s, nodes: make(map[string]P), subs: make(map[*running]struct{})}
	r.begin(name, timeout, s)
	return r
}

// GetURL returns the registry's URL.
func (r *Registry[P, V]) GetURL() *common.URL { return r.url }

// IsAvailable reports whether the registry is not destroyed, as dubbo-go's do. Whether
// it answers is what Check tells.
func (r *Registry[P, V]) IsAvailable() bool { return r.ctx.Err() == nil }

// Destroy ends all subscriptions, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (r *Registry[P, V]) Destroy() { r.end() }

// Register writes u and keeps it there until UnRegister or Destroy, whatever happens to
// connection and server. It returns when the registry has it, or after registry.timeout
// with the cause; then nothing stays registered. Registering the same URL again does
// nothing; the same service and address with other parameters replaces the former.
func (r *Registry[P, V]) Register(u *common.URL) error {
	start := time.Now()
	err := r.register(u)
	metrics.Publish(metricsregistry.NewRegisterEvent(err == nil, start))
	return err
}

func (r *Registry[P, V]) register(u *common.URL) error {
	at, value, err := r.services.Entry(u)
	if err != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	id := u.Key()
	ctx, cancel := r.within()
	defer cancel()
	if err := r.keeper.Put(ctx, at, value); err != nil {
		return fmt.Errorf("register %s: %w", id, err)
	}
	r.mu.Lock()
	former, had := r.nodes[id]
	r.nodes[id] = at
	r.mu.Unlock()
	if had && former != at {
		return r.keeper.Remove(ctx, former)
	}
	return nil
}

// UnRegister takes u out, no other with it, and returns when it is gone, or after
// registry.timeout with the cause; then it goes on in the background. A URL that is not
// registered is not an error.
func (r *Registry[P, V]) UnRegister(u *common.URL) error {
	id := u.Key()
	r.mu.Lock()
	at, had := r.nodes[id]
	delete(r.nodes, id)
	r.mu.Unlock()
	if !had {
		return nil
	}
	ctx, cancel := r.within()
	defer cancel()
	if err := r.keeper.Remove(ctx, at); err != nil {
		return fmt.Errorf("unregister %s: %w", id, err)
	}
	return nil
}

// LoadSubscribeInstances hands the present list to listener by NotifyAll, also an
// empty one, or returns the cause after registry.timeout.
func (r *Registry[P, V]) LoadSubscribeInstances(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := r.within()
	defer cancel()
	return r.services.Load(ctx, u, listener)
}

// Subscribe tells listener of everything that happens to the providers that u asks for:
// the whole list by NotifyAll at first and whenever the registry was away, and what is
// certain to have come or gone by Notify. It blocks until UnSubscribe or Destroy;
// callers start it in a goroutine.
func (r *Registry[P, V]) Subscribe(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	sub := &running{key: u.Key(), listener: listener, cancel: cancel}
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return ErrDestroyed
	}
	r.subs[sub] = struct{}{}
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.subs, sub)
		r.mu.Unlock()
	}()
	r.services.Follow(ctx, u, listener)
	return nil
}

// UnSubscribe ends the Subscribe call that has the same URL key and listener. One that
// is not there is not an error.
func (r *Registry[P, V]) UnSubscribe(u *common.URL, listener registry.NotifyListener) error {
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
