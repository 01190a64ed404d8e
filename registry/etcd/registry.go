// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/node"
	"github.com/graylane/graylane/internal/shell"
)

// Registry is the interface-level registry (registry-type: interface).
//
// dubbo-go's own cannot unregister, reports no instance that leaves and shares one
// event channel between all references, so that each sees the other's providers.
type Registry struct {
	*shell.Registry[string, string]
	registrar *registrar
}

var _ registry.Registry = (*Registry)(nil)

// services is the interface level in etcd.
type services struct {
	*registrar
	group string
}

var _ shell.Services[string, string] = services{}

// NewRegistry returns a registry for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s), registry.group (default dubbo) and
// [LeaseTTLKey]. It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	r, timeout, err := open(u)
	if err != nil {
		return nil, err
	}
	return &Registry{shell.NewRegistry("etcd", u, timeout, services{r, node.Group(u)}), r}, nil
}

// Entry implements [shell.Services].
func (s services) Entry(u *common.URL) (key, value string, err error) {
	key, err = node.Path(s.group, u)
	return key, "", err
}

// Load implements [shell.Services].
func (s services) Load(ctx context.Context, u *common.URL, listener registry.NotifyListener) error {
	v := newView(node.NewSubscription(s.group, u), listener)
	for i, dir := range v.sub.Folders {
		list, err := s.load(ctx, dir)
		if err != nil {
			return fmt.Errorf("etcd: registry %s: %w", s.shared.address.endpoints, s.shared.explain(err))
		}
		v.replace(i, list) // the last one notifies
	}
	return nil
}

// load reads a folder, again and again until ctx ends.
func (s services) load(ctx context.Context, dir string) ([]keeper.Entry, error) {
	for n := 0; ; n++ {
		list, _, err := s.shared.read(ctx, dir, withPrefix)
		if err == nil || ctx.Err() != nil {
			return list, err
		}
		center.Pause(ctx, n)
		if ctx.Err() != nil {
			return nil, err
		}
	}
}

// Follow implements [shell.Services].
func (s services) Follow(ctx context.Context, u *common.URL, listener registry.NotifyListener) {
	v := newView(node.NewSubscription(s.group, u), listener)
	var wg sync.WaitGroup
	for i, dir := range v.sub.Folders {
		wg.Go(func() {
			s.shared.follow(ctx, dir, follower{
				list:    func(list []keeper.Entry) { v.replace(i, list) },
				changes: func(changes []change) { v.apply(i, changes) },
			}, withPrefix)
		})
	}
	wg.Wait()
}
