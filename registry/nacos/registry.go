// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metrics"
	metricsregistry "dubbo.apache.org/dubbo-go/v3/metrics/registry"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// Registry is the interface-level registry (registry-type: interface).
//
// In dubbo-go's own the second protocol of a service takes the place of the first,
// the weight of Nacos is not seen, and the end of one registry object ends the
// subscriptions of all.
type Registry struct {
	url     *common.URL
	timeout time.Duration
	shared  *shared
	ctx     context.Context // ends with Destroy
	cancel  context.CancelFunc
	once    sync.Once

	mu    sync.Mutex
	nodes map[string]node // by URL key
	subs  map[*running]struct{}
}

var _ registry.Registry = (*Registry)(nil)

// node is one registered URL.
type node struct {
	key serviceKey
	at  string
}

// running is one Subscribe call.
type running struct {
	key      string
	listener registry.NotifyListener
	cancel   context.CancelFunc
}

// NewRegistry returns a registry for u: Location "host:port[,host:port]", user name
// and password, parameters registry.timeout (default 5s), registry.group (default
// DEFAULT_GROUP), registry.namespace (default public), registry.accesskey and
// registry.secretkey, endpoint. It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, err
	}
	timeout, err := timeoutOf(u)
	if err != nil {
		return nil, err
	}
	r := &Registry{url: u, timeout: timeout, shared: acquire(a), nodes: make(map[string]node), subs: make(map[*running]struct{})}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// GetURL returns the registry's URL.
func (r *Registry) GetURL() *common.URL { return r.url }

// IsAvailable reports whether the registry is not destroyed. Whether Nacos answers
// is what Check tells.
func (r *Registry) IsAvailable() bool { return r.ctx.Err() == nil }

// Check is [Check] for the registry's own address, namespace and account.
func (r *Registry) Check(ctx context.Context) error { return check(ctx, r.shared.address) }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (r *Registry) Reconnected() time.Time { return r.shared.lastBack() }

// Destroy ends all subscriptions, takes out everything registered (at most
// registry.timeout) and gives the connection back. A second call does nothing.
func (r *Registry) Destroy() {
	r.once.Do(func() {
		r.cancel()
		leave(r.shared, r, r.timeout)
	})
}

// leave takes out all that owner registered and gives the connection back.
func leave(s *shared, owner any, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := s.removeAll(ctx, owner); err != nil {
		logger.Warnf("[graylane] nacos %s: deregister: %v", s.address.where(), err)
	}
	s.release()
}

// Register registers u and keeps it registered until UnRegister or Destroy. It
// returns when Nacos has it, or after registry.timeout with the cause; then nothing
// stays registered. Registering the same URL again does nothing; the same service
// and address with other parameters replaces the former.
func (r *Registry) Register(u *common.URL) error {
	start := time.Now()
	err := r.register(u)
	metrics.Publish(metricsregistry.NewRegisterEvent(err == nil, start))
	return err
}

func (r *Registry) register(u *common.URL) error {
	name, i, err := registration(u)
	if err != nil {
		return err
	}
	n := node{serviceKey{groupOf(r.url), name}, place(i)}
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	if err := r.shared.put(ctx, r, n.key, i); err != nil {
		return fmt.Errorf("register %s: %w", u.Key(), err)
	}
	id := u.Key()
	r.mu.Lock()
	former, had := r.nodes[id]
	r.nodes[id] = n
	r.mu.Unlock()
	if had && former != n {
		return r.shared.remove(ctx, r, former.key, former.at)
	}
	return nil
}

// UnRegister takes u out, no other instance with it, and returns when it is gone, or
// after registry.timeout with the cause; then it goes on in the background. A URL
// that is not registered is not an error.
func (r *Registry) UnRegister(u *common.URL) error {
	id := u.Key()
	r.mu.Lock()
	n, ok := r.nodes[id]
	delete(r.nodes, id)
	r.mu.Unlock()
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	if err := r.shared.remove(ctx, r, n.key, n.at); err != nil {
		return fmt.Errorf("unregister %s: %w", id, err)
	}
	return nil
}

// LoadSubscribeInstances hands the present list to listener by NotifyAll, also an
// empty one, or returns the cause after registry.timeout.
func (r *Registry) LoadSubscribeInstances(u *common.URL, listener registry.NotifyListener) error {
	ctx, cancel := context.WithTimeout(r.ctx, r.timeout)
	defer cancel()
	return r.newView(u, listener).load(ctx)
}

// Subscribe tells listener of the providers that u asks for: the whole list by
// NotifyAll at first, at every push and whenever Nacos was away; where the only
// provider leaves, that one by Notify. It blocks until UnSubscribe or Destroy;
// callers start it in a goroutine. A provider's URL, for which Nacos has nothing to
// tell, returns at once.
func (r *Registry) Subscribe(u *common.URL, listener registry.NotifyListener) error {
	if u.GetParam(constant.RegistryRoleKey, "") == strconv.Itoa(common.PROVIDER) {
		return nil
	}
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
	metrics.Publish(metricsregistry.NewSubscribeEvent(true))
	r.newView(u, listener).follow(ctx)
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
