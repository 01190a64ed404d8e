// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"strconv"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metrics"
	metricsregistry "dubbo.apache.org/dubbo-go/v3/metrics/registry"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/shell"
)

// Registry is the interface-level registry (registry-type: interface).
//
// In dubbo-go's own the second protocol of a service takes the place of the first,
// the weight of Nacos is not seen, and the end of one registry object ends the
// subscriptions of all.
type Registry struct {
	*shell.Registry[node, model.Instance]
	shared *shared
}

var _ registry.Registry = (*Registry)(nil)

// node is where an instance is registered.
type node struct {
	key serviceKey
	at  string // host:port
}

// owner is what one object of dubbo-go's has registered over the shared connection.
type owner struct {
	url    *common.URL
	shared *shared
}

// newOwner acquires the connection for a registry's URL.
func newOwner(u *common.URL) (o *owner, timeout time.Duration, err error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, 0, err
	}
	if timeout, err = timeoutOf(u); err != nil {
		return nil, 0, err
	}
	return &owner{u, acquire(a)}, timeout, nil
}

// Put implements shell.Keeper.
func (o *owner) Put(ctx context.Context, n node, i model.Instance) error {
	return o.shared.put(ctx, o, n.key, i)
}

// Remove implements shell.Keeper.
func (o *owner) Remove(ctx context.Context, n node) error {
	return o.shared.remove(ctx, o, n.key, n.at)
}

// Reconnected implements shell.Keeper.
func (o *owner) Reconnected() time.Time { return o.shared.lastBack() }

// Close implements shell.Keeper.
func (o *owner) Close(ctx context.Context) {
	if err := o.shared.removeAll(ctx, o); err != nil {
		logger.Warnf("[graylane] nacos %s: deregister: %v", o.shared.address.where(), err)
	}
	o.shared.release()
}

// services is the interface level in Nacos.
type services struct{ *owner }

var _ shell.Services[node, model.Instance] = services{}

// NewRegistry returns a registry for u: Location "host:port[,host:port]", user name
// and password, parameters registry.timeout (default 5s), registry.group (default
// DEFAULT_GROUP), registry.namespace (default public), registry.accesskey and
// registry.secretkey, endpoint. It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	o, timeout, err := newOwner(u)
	if err != nil {
		return nil, err
	}
	return &Registry{shell.NewRegistry("nacos", u, timeout, services{o}), o.shared}, nil
}

// Check is [Check] for the registry's own address, namespace and account.
func (r *Registry) Check(ctx context.Context) error { return check(ctx, r.shared.address) }

// Subscribe tells listener of the providers that u asks for: the whole list by
// NotifyAll at first, at every push and whenever Nacos was away; where the only
// provider leaves, that one by Notify. It blocks until UnSubscribe or Destroy;
// callers start it in a goroutine. A provider's URL, for which Nacos has nothing to
// tell, returns at once.
func (r *Registry) Subscribe(u *common.URL, listener registry.NotifyListener) error {
	if u.GetParam(constant.RegistryRoleKey, "") == strconv.Itoa(common.PROVIDER) {
		return nil
	}
	metrics.Publish(metricsregistry.NewSubscribeEvent(true))
	return r.Registry.Subscribe(u, listener)
}

// Entry implements [shell.Services].
func (s services) Entry(u *common.URL) (node, model.Instance, error) {
	name, i, err := registration(u)
	return node{serviceKey{groupOf(s.url), name}, place(i)}, i, err
}

// Load implements [shell.Services].
func (s services) Load(ctx context.Context, u *common.URL, listener registry.NotifyListener) error {
	return s.newView(u, listener).load(ctx)
}

// Follow implements [shell.Services].
func (s services) Follow(ctx context.Context, u *common.URL, listener registry.NotifyListener) {
	s.newView(u, listener).follow(ctx)
}
