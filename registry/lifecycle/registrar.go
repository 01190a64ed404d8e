// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// Bounds of the pause between two tries of a registration; it doubles.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// errStopped ends registrations when the instance is leaving.
var errStopped = errors.New("the instance is leaving")

// registrar does the registrations at one registry, one after the other, in the
// order in which dubbo-go asked, each until it succeeds. The registry itself is
// made by the first try: building it may fail, block or panic.
type registrar struct {
	// The following fields are immutable.
	m     *manager
	key   string
	name  string // "etcdv3://127.0.0.1:2379"
	url   *common.URL
	level level

	ops sync.Mutex // held while a registration or one service's deregistration is under way

	mu        sync.Mutex
	inner     registry.Registry
	connected chan struct{} // closed when inner is there
	queue     []*task
	running   bool
	last      error               // of the last try, nil after a success
	asked     map[string]*service // what dubbo-go asked for last, by service.key
	services  []*service          // what is registered
	unseen    int                 // registrations that we did not see in the registry yet
	changed   bool                // a service came since the instance was registered
	instance  bool                // the instance is registered
	closed    bool                // deregistered: a registration that comes late is undone
	kept      bool                // keepOffers runs
}

// level is how a registry sees providers.
type level int

const (
	interfaceLevel level = iota
	applicationLevel
)

// service is one URL at this registry.
type service struct {
	key        string      // what makes it another service
	original   *common.URL // as dubbo-go knows it
	registered *common.URL // as the registry knows it; nil before it does
	withdrawn  bool        // no longer exported
}

// serviceKey tells the services at one registry apart.
func serviceKey(u *common.URL) string { return u.Protocol + " " + u.ServiceKey() + " " + u.Location }

// task is one registration that has to succeed.
type task struct {
	run  func(registry.Registry) error
	done chan struct{}
}

func newRegistrar(m *manager, key, name string, url *common.URL) *registrar {
	r := &registrar{m: m, key: key, name: name, url: url, connected: make(chan struct{}), asked: map[string]*service{}}
	if url.Protocol == constant.ServiceRegistryProtocol {
		r.level = applicationLevel
	}
	return r
}

// submit queues a registration. If it may begin now and is required, submit
// returns when it has succeeded, or ends the process when it did not in time.
func (r *registrar) submit(run func(registry.Registry) error) error {
	t := &task{run: run, done: make(chan struct{})}
	r.mu.Lock()
	r.queue = append(r.queue, t)
	if !r.running {
		r.running = true
		go r.work()
	}
	r.mu.Unlock()
	c := r.m.settings().Register
	switch {
	case !c.Require, r.m.direct.Load() && !closed(r.m.due): // see awaitRequired
		return nil
	case r.m.later.Load():
		go func() { _ = r.require(t, c.Timeout) }() // require ends the process itself
		return nil
	default:
		return r.require(t, c.Timeout)
	}
}

// require waits for t, once registrations may begin, and ends the process when
// the time is up.
func (r *registrar) require(t *task, timeout time.Duration) error {
	select {
	case <-r.m.due:
	case <-r.m.stop:
		return nil
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-t.done:
		return nil
	case <-r.m.stop:
		return nil
	case <-timer.C:
		err := r.pending()
		if err == nil { // it succeeded at the last moment
			return nil
		}
		err = fmt.Errorf("registry %s: not registered within %v: %w", r.name, timeout, r.cause(err))
		fatal(err)
		return err
	}
}

// work runs the queue empty.
func (r *registrar) work() {
	select {
	case <-r.m.due:
	case <-r.m.stop: // it never registered
		r.mu.Lock()
		r.running = false
		r.mu.Unlock()
		return
	}
	for pause := firstPause; ; {
		r.mu.Lock()
		if len(r.queue) == 0 || r.closed {
			r.running = false
			r.mu.Unlock()
			return
		}
		t := r.queue[0]
		r.mu.Unlock()

		err := r.try(t)
		r.mu.Lock()
		first := err != nil && r.last == nil
		r.last = err
		if err == nil {
			r.queue = r.queue[1:]
			close(t.done)
		}
		r.mu.Unlock()
		if err == nil {
			pause = firstPause
			continue
		}
		if first {
			logger.Warnf("[graylane] registry %s: %v; trying again until it succeeds", r.name, err)
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		case <-r.m.stop:
			r.mu.Lock()
			r.running = false
			r.mu.Unlock()
			return
		}
	}
}

// try makes the registry if need be and runs t once.
func (r *registrar) try(t *task) (err error) {
	defer func() {
		if p := recover(); p != nil { // dubbo-go's registries panic, too
			err = fmt.Errorf("%v", p)
		}
	}()
	select {
	case <-r.m.stop:
		return errStopped
	default:
	}
	r.mu.Lock()
	inner := r.inner
	r.mu.Unlock()
	if inner == nil {
		if inner, err = extension.GetRegistry(r.url.Protocol, r.url); err != nil {
			return err
		}
		r.mu.Lock()
		r.inner = inner
		close(r.connected)
		r.mu.Unlock()
	}
	r.ops.Lock()
	defer r.ops.Unlock()
	return t.run(inner)
}

// pending returns why not all is registered, nil if all is.
func (r *registrar) pending() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case len(r.queue) > 0 && r.last != nil:
		return r.last
	case len(r.queue) > 0 && r.inner == nil:
		return errors.New("no answer yet")
	case len(r.queue) > 0, r.level == applicationLevel && len(r.services) > 0 && !r.instance:
		return errors.New("not registered yet")
	case r.unseen > 0:
		return errUnseen
	}
	return nil
}

// cause adds to an error that says only that there was no answer yet why there was
// none, where a look at the port tells.
func (r *registrar) cause(err error) error {
	r.mu.Lock()
	told := r.last != nil
	r.mu.Unlock()
	_, address, ok := strings.Cut(r.name, "://")
	if told || !ok {
		return err
	}
	first, _, _ := strings.Cut(address, ",")
	conn, dialErr := net.DialTimeout("tcp", first, 300*time.Millisecond)
	if dialErr != nil {
		return fmt.Errorf("%w: %w", err, dialErr)
	}
	_ = conn.Close()
	return fmt.Errorf("%w: it takes connections and does not answer", err)
}

// wait returns when the queue as it is now has been run.
func (r *registrar) wait(ctx context.Context) error {
	r.mu.Lock()
	queue := append([]*task(nil), r.queue...)
	r.mu.Unlock()
	for _, t := range queue {
		select {
		case <-t.done:
		case <-r.m.stop:
			return errStopped
		case <-ctx.Done():
			return fmt.Errorf("registry %s: %w", r.name, ctx.Err())
		}
	}
	return nil
}

// registerURL queues one service.
func (r *registrar) registerURL(u *common.URL) error {
	s := &service{key: serviceKey(u), original: u}
	r.mu.Lock()
	r.asked[s.key] = s
	r.mu.Unlock()
	return r.submit(func(inner registry.Registry) error {
		if r.gone(s) {
			return nil
		}
		b := r.m.begin()
		s.registered = u.Clone()
		if r.level == applicationLevel {
			s.registered = u // dubbo-go puts address and port into it
		} else {
			decorateURL(s.registered, b, r.m.settings().Register)
		}
		if err := inner.Register(s.registered); err != nil {
			return err
		}
		if err := r.added(inner, s); err != nil || r.level == applicationLevel {
			return err
		}
		r.m.born()
		r.confirm(r.lookForService(inner, s.registered.Clone()), func() bool { return r.gone(s) })
		return nil
	})
}

// gone reports that s has been withdrawn, or all of this registry.
func (r *registrar) gone(s *service) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return s.withdrawn || r.closed
}

// added notes a registered service, and takes out the one that it replaces: a
// configurator made dubbo-go export it again with other parameters.
func (r *registrar) added(inner registry.Registry, s *service) error {
	r.mu.Lock()
	var old *service
	for i, o := range r.services {
		if o.key == s.key {
			old, r.services[i] = o, s
		}
	}
	if old == nil {
		r.services = append(r.services, s)
	}
	r.changed = true
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return inner.UnRegister(s.registered)
	}
	if old != nil && r.level == interfaceLevel && old.registered.String() != s.registered.String() {
		return inner.UnRegister(old.registered)
	}
	return nil
}

// registerInstance queues the instance of application level.
func (r *registrar) registerInstance() error {
	return r.submit(func(inner registry.Registry) error {
		sd, ok := inner.(registry.ServiceDiscoveryRegistry)
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		id := r.url.GetParam(constant.RegistryIdKey, constant.DefaultKey)
		info := metadata.GetMetadataInfo(id)
		if !ok || !changed || info == nil || len(info.GetExportedServiceURLs()) == 0 {
			return nil // no service of this process is here
		}
		r.m.begin()
		if err := sd.RegisterService(); err != nil {
			return err
		}
		r.m.born()
		r.mu.Lock()
		r.changed, r.instance = false, true
		closed := r.closed
		if !r.kept && !closed {
			r.kept = true
			go r.keepOffers()
		}
		r.mu.Unlock()
		if closed {
			return sd.UnRegisterService()
		}
		r.confirm(lookForInstance(inner, info.App, portsOf(info.GetExportedServiceURLs())), func() bool {
			r.mu.Lock()
			defer r.mu.Unlock()
			return !r.instance || r.closed
		})
		return nil
	})
}

// targets returns what must leave this registry, and forbids more to come.
func (r *registrar) targets() []target {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	inner := r.inner
	if inner == nil {
		return nil
	}
	if r.level == applicationLevel {
		sd, ok := inner.(registry.ServiceDiscoveryRegistry)
		if !ok || !r.instance {
			return nil
		}
		return []target{{name: r.name, deregister: sd.UnRegisterService}}
	}
	out := make([]target, 0, len(r.services))
	for _, s := range r.services {
		out = append(out, target{
			name:       r.name + " " + s.original.ServiceKey(),
			deregister: func() error { return inner.UnRegister(s.registered) },
		})
	}
	return out
}
