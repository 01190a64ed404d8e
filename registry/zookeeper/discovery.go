// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"fmt"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/shell"
)

// Discovery is the application-level registry (registry-type: service, dubbo-go's
// default).
//
// dubbo-go's own answers a failed read, and one that meets an instance that is just
// leaving, with an empty list, and reads everything four times at each change.
type Discovery struct {
	*shell.Discovery[string, string]
	registrar *registrar
}

var _ registry.ServiceDiscovery = (*Discovery)(nil)

// applications is the application level in ZooKeeper.
type applications struct {
	*registrar
	root  string
	texts *shell.Texts
}

var _ shell.Applications[string, string] = applications{}

// NewDiscovery returns a service discovery for u: Location "host:port[,host:port]",
// parameters registry.timeout (default 5s; of an operation and of the session) and
// registry.group (default services). It does not connect; an error means that u is
// wrong.
func NewDiscovery(u *common.URL) (*Discovery, error) {
	s, err := acquire(u)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	r := newRegistrar(s)
	a := applications{r, "/" + strings.Trim(u.GetParam(constant.RegistryGroupKey, "services"), "/"), shell.NewTexts("zookeeper", decodeInstance)}
	return &Discovery{shell.NewDiscovery("zookeeper "+s.name(), timeoutOf(u), a), r}, nil
}

// Check asks whether the server answers. It returns nil, or one line that names
// address and cause.
func (d *Discovery) Check(ctx context.Context) error { return d.registrar.s.check(ctx) }

func (a applications) folder(application string) string { return a.root + "/" + application }

// Entry implements [shell.Applications].
func (a applications) Entry(i registry.ServiceInstance) (at, value string, err error) {
	value, err = encodeInstance(i)
	return a.folder(i.GetServiceName()) + "/" + instanceName(i), value, err
}

// Read implements [shell.Applications].
func (a applications) Read(ctx context.Context, application string) ([]*registry.DefaultServiceInstance, error) {
	list, err := a.s.list(ctx, a.folder(application), true)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: registry %s: %w", a.s.name(), err)
	}
	return a.texts.Instances(application, list), nil
}

// Follow implements [shell.Applications].
func (a applications) Follow(ctx context.Context, application string, tell func([]*registry.DefaultServiceInstance)) {
	a.s.follow(ctx, a.folder(application), true, func(list []keeper.Entry, _ bool) { tell(a.texts.Instances(application, list)) })
}
