// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/filter/tag"
)

// A registry that has accepted an instance may not show it to callers yet, or
// never: so we look it up again as a caller would, and are ready when we see
// ourselves. Bounds of the pause between two looks; it doubles.
const (
	firstLook = 20 * time.Millisecond
	lastLook  = time.Second
)

var (
	errUnseen    = errors.New("registered, but not seen there yet")
	errCannotAsk = errors.New("it cannot be asked")
)

// confirm looks in the background until look finds what was registered, the
// registration is gone, or the instance leaves. Until then the registrar is
// pending. If the registry is required, not being seen within register.timeout
// ends the process; else it is logged and we look on.
func (r *registrar) confirm(look func() (bool, error), gone func() bool) {
	r.mu.Lock()
	r.unseen++
	r.mu.Unlock()
	go func() {
		ctx, cancel := r.m.untilLeaving()
		defer cancel()
		c, began, warned := r.m.settings().Register, time.Now(), false
		for pause := firstLook; ; pause = min(2*pause, lastLook) {
			seen := false
			err := within(c.Timeout, func() (err error) { seen, err = look(); return err })
			if errors.Is(err, errCannotAsk) {
				logger.Infof("[graylane] registry %s: %v whether callers see this instance; taken for yes", r.name, err)
			}
			if seen && err == nil || errors.Is(err, errCannotAsk) || gone() {
				r.mu.Lock()
				r.unseen--
				r.mu.Unlock()
				return
			}
			if !warned && time.Since(began) >= c.Timeout {
				warned = true
				late := fmt.Errorf("registry %s: registered, but not seen there within %v", r.name, c.Timeout)
				if err != nil {
					late = fmt.Errorf("%w: %w", late, err)
				}
				if c.Require && ctx.Err() == nil {
					fatal(late)
					return
				}
				logger.Warnf("[graylane] %v; looking on", late)
			}
			if sleep(ctx, pause) != nil {
				return
			}
		}
	}()
}

// lookForService returns a look at interface level: whether the registry lists
// the service as this incarnation's.
func (r *registrar) lookForService(inner registry.Registry, registered *common.URL) func() (bool, error) {
	ref := referenceTo(registered)
	if _, ours := inner.(interface {
		Check(ctx context.Context) error
	}); !ours && r.url.Protocol == constant.ZookeeperKey {
		// dubbo-go's own has no list to load: only subscriptions
		var s *sighting
		return func() (bool, error) {
			if s == nil {
				first := &sighting{protocol: registered.Protocol, service: registered.ServiceKey(), found: make(chan struct{})}
				if err := r.watchFor(ref, first); err != nil {
					return false, err
				}
				s = first
			}
			return s.seen(), nil
		}
	}
	return func() (bool, error) {
		s := &sighting{protocol: registered.Protocol, service: registered.ServiceKey()}
		err := inner.LoadSubscribeInstances(ref, s)
		return s.seen(), err
	}
}

// watchFor subscribes by a registry object of its own, since the provider's own
// is one that dubbo-go shares out by service, and destroys it when s has seen us
// or the instance leaves.
func (r *registrar) watchFor(ref *common.URL, s *sighting) error {
	second, err := extension.GetRegistry(r.url.Protocol, r.url.Clone())
	if err != nil {
		return err
	}
	go func() {
		defer func() { _ = recover() }() // dubbo-go's, when it is destroyed
		_ = second.Subscribe(ref, s)     // ends with Destroy
	}()
	go func() {
		select {
		case <-s.found:
		case <-r.m.stop:
		}
		_ = protect(func() error { second.Destroy(); return nil })
	}()
	return nil
}

// referenceTo is the URL by which a caller asks for a service.
func referenceTo(u *common.URL) *common.URL {
	return common.NewURLWithOptions(
		common.WithProtocol(u.Protocol), common.WithIp(u.Ip), common.WithPath(u.Service()),
		common.WithInterface(u.Service()),
		common.WithParamsValue(constant.GroupKey, u.Group()),
		common.WithParamsValue(constant.VersionKey, u.Version()),
		common.WithParamsValue(constant.CategoryKey, constant.ProvidersCategory),
		common.WithParamsValue(constant.SideKey, constant.SideConsumer),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)),
		common.WithParamsValue(constant.CheckKey, "false"),
	)
}

// sighting is a subscriber that waits for this incarnation of a service.
type sighting struct {
	// The following fields are immutable.
	protocol, service string
	found             chan struct{} // closed at the first sight, if not nil

	mu    sync.Mutex
	sight bool
}

var _ registry.NotifyListener = (*sighting)(nil)

// Notify looks at one provider.
func (s *sighting) Notify(e *registry.ServiceEvent) {
	u := e.Service
	if u == nil || u.Protocol != s.protocol || u.ServiceKey() != s.service || u.GetParam(tag.MetaIncarnation, "") != Incarnation() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.sight {
		s.sight = true
		if s.found != nil {
			close(s.found)
		}
	}
}

// NotifyAll looks at a list.
func (s *sighting) NotifyAll(events []*registry.ServiceEvent, done func()) {
	for _, e := range events {
		s.Notify(e)
	}
	done()
}

func (s *sighting) seen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sight
}

// portsOf are the ports under which dubbo-go registers an instance.
func portsOf(urls []*common.URL) map[int]bool {
	ports := map[int]bool{}
	for _, u := range urls {
		if n, err := strconv.Atoi(u.Port); err == nil {
			ports[n] = true
		}
	}
	return ports
}

// lookForInstance returns a look at application level: whether the registry lists
// this incarnation at all ports under which it was registered.
func lookForInstance(inner registry.Registry, app string, ports map[int]bool) func() (bool, error) {
	return func() (bool, error) {
		sd, ok := inner.(interface {
			GetServiceDiscovery() registry.ServiceDiscovery
		})
		if !ok || sd.GetServiceDiscovery() == nil {
			return false, errCannotAsk
		}
		found := map[int]bool{}
		for _, i := range sd.GetServiceDiscovery().GetInstances(app) {
			if ports[i.GetPort()] && i.GetMetadata()[tag.MetaIncarnation] == Incarnation() {
				found[i.GetPort()] = true
			}
		}
		return len(found) == len(ports), nil
	}
}
