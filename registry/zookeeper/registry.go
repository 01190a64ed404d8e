// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"fmt"
	"path"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/node"
	"github.com/graylane/graylane/internal/shell"
)

// Registry is the interface-level registry (registry-type: interface).
//
// The subscriptions of dubbo-go's own end with the first break of its connection, and
// its session is turned away for ever by a server that has lost its data.
type Registry struct {
	*shell.Registry[string, string]
	registrar *registrar
}

var _ registry.Registry = (*Registry)(nil)

// services is the interface level in ZooKeeper.
type services struct {
	*registrar
	group string
}

var _ shell.Services[string, string] = services{}

// NewRegistry returns a registry for u: Location "host:port[,host:port]", parameters
// registry.timeout (default 5s; of an operation and of the session) and registry.group
// (default dubbo). It does not connect; an error means that u is wrong.
func NewRegistry(u *common.URL) (*Registry, error) {
	s, err := acquire(u)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	r := newRegistrar(s)
	return &Registry{shell.NewRegistry("zookeeper", u, timeoutOf(u), services{r, node.Group(u)}), r}, nil
}

// Check asks whether the server answers. It returns nil, or one line that names
// address and cause.
func (r *Registry) Check(ctx context.Context) error { return r.registrar.s.check(ctx) }

// Entry implements [shell.Services].
func (s services) Entry(u *common.URL) (at, value string, err error) {
	at, err = node.Path(s.group, u)
	return at, "", err
}

// Load implements [shell.Services].
func (s services) Load(ctx context.Context, u *common.URL, listener registry.NotifyListener) error {
	v := newView(node.NewSubscription(s.group, u), listener)
	for i, folder := range v.sub.Folders {
		list, err := s.s.list(ctx, path.Clean(folder), false)
		if err != nil {
			return fmt.Errorf("zookeeper: registry %s: %w", s.s.name(), err)
		}
		v.tell(i, list, true) // the last one notifies
	}
	return nil
}

// Follow implements [shell.Services].
func (s services) Follow(ctx context.Context, u *common.URL, listener registry.NotifyListener) {
	v := newView(node.NewSubscription(s.group, u), listener)
	var following sync.WaitGroup
	for i, folder := range v.sub.Folders {
		following.Go(func() {
			s.s.follow(ctx, path.Clean(folder), false, func(list []keeper.Entry, gap bool) { v.tell(i, list, gap) })
		})
	}
	following.Wait()
}
