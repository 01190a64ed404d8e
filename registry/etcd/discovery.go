// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/shell"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's default).
//
// dubbo-go's own tells consumers of no instance that appears or leaves; this one
// sends the complete list at every change.
type Discovery struct {
	*shell.Discovery[string, string]
	registrar *registrar
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// applications is the application level in etcd.
type applications struct {
	*registrar
	texts *shell.Texts
}

var _ shell.Applications[string, string] = applications{}

// NewDiscovery returns a service discovery for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s) and [LeaseTTLKey]. It does not connect;
// an error means that u is wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	r, timeout, err := open(u)
	if err != nil {
		return nil, err
	}
	a := applications{r, shell.NewTexts("etcd", decodeInstance)}
	return &Discovery{shell.NewDiscovery("etcd "+r.shared.address.endpoints, timeout, a), r}, nil
}

// open acquires the connection for a registry's URL.
func open(u *common.URL) (r *registrar, timeout time.Duration, err error) {
	a, err := addressOf(u)
	if err != nil {
		return nil, 0, err
	}
	opts, err := optionsOf(u)
	if err != nil {
		return nil, 0, err
	}
	return newRegistrar(acquire(a), opts.ttl), opts.timeout, nil
}

// Entry implements [shell.Applications].
func (a applications) Entry(i registry.ServiceInstance) (key, value string, err error) {
	value, err = encodeInstance(i)
	return instanceKey(i), value, err
}

// Read implements [shell.Applications].
func (a applications) Read(ctx context.Context, application string) ([]*registry.DefaultServiceInstance, error) {
	list, _, err := a.shared.read(ctx, instanceFolder(application), withPrefix)
	if err != nil {
		return nil, fmt.Errorf("etcd: registry %s: %w", a.shared.address.endpoints, a.shared.explain(err))
	}
	return a.decode(application, list), nil
}

// Follow implements [shell.Applications].
func (a applications) Follow(ctx context.Context, application string, tell func([]*registry.DefaultServiceInstance)) {
	var now []keeper.Entry // sorted by key
	a.shared.follow(ctx, instanceFolder(application), follower{
		list: func(list []keeper.Entry) {
			now = list
			tell(a.decode(application, now))
		},
		changes: func(changes []change) {
			for _, c := range changes {
				at, there := slices.BinarySearchFunc(now, c.Key, func(e keeper.Entry, key string) int { return strings.Compare(e.Key, key) })
				switch {
				case there && c.deleted:
					now = slices.Delete(now, at, at+1)
				case there:
					now[at] = c.Entry
				case !c.deleted:
					now = slices.Insert(now, at, c.Entry)
				}
			}
			tell(a.decode(application, now))
		},
	}, withPrefix)
}

// decode reads a list, without the instances of applications whose name begins with
// this one's and a slash.
func (a applications) decode(application string, list []keeper.Entry) []*registry.DefaultServiceInstance {
	folder := instanceFolder(application)
	own := make([]keeper.Entry, 0, len(list))
	for _, e := range list {
		if !strings.Contains(strings.TrimPrefix(e.Key, folder), "/") {
			own = append(own, e)
		}
	}
	return a.texts.Instances(application, own)
}
