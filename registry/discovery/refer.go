// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/fatal"
)

// How long Refer waits for the first list and its connections, so that the first
// call finds them.
const (
	firstList        = time.Second
	firstConnections = 3 * time.Second
	otherConnections = 300 * time.Millisecond // for those that are slower than the first
	askMax           = 5 * time.Second        // between two questions after a service that nobody offers yet
)

// ours is lossless.Name: the arrows forbid to import it.
const ours = "lossless"

var exit = fatal.Exit //nolint:gochecknoglobals // replaced by tests only

// Refer makes the invoker of a reference: u is the registry's URL, its SubURL the
// reference. dubbo-go calls it once a registry URL of a reference; all calls of
// one reference return the same invoker, over all of its registries (see
// [UnionName]). If a registry cannot be reached within register.timeout the
// process ends with one line, or, with register.require false, Refer returns and
// the reference finds the providers of that registry when it is back; the references
// that follow then do not wait for it, see [patience].
func Refer(u *common.URL) base.Invoker {
	if u.Protocol == constant.RegistryProtocol {
		u.Protocol = u.GetParam(constant.RegistryKey, "")
	}
	name := u.SubURL.GetParam(constant.ClusterKey, constant.DefaultCluster)
	cluster, err := extension.GetCluster(name)
	if err != nil {
		exit(fmt.Errorf("%s of %s: unknown cluster %q: is its package imported?", constant.ClusterKey, u.SubURL.Service(), name))
		return nil
	}
	defer making()()
	r := referenceOf(u, name != ours)
	r.d.live(true)
	r.d.override()
	var sources []*source
	for _, ref := range groupsOf(u.SubURL) {
		sources = append(sources, r.d.newSource(u, ref))
	}
	c := conf.Current().Register
	timeout, once := patience(u, c)
	down := false
	for _, s := range sources { // all of one registry
		if !down {
			err := s.follow(timeout, once)
			if err == nil {
				continue
			}
			down = true
			err = fmt.Errorf("registry %s: not reached within %v: %w", registryAt(u), timeout, err)
			if c.Require {
				exit(err)
			}
			logger.Warnf("[graylane] %s; trying on (register.require is false)", err)
		}
		go s.followLater(c.Timeout)
	}
	if r.invoker == nil {
		if r.d.foreign {
			r.d.chainOnce.Do(r.d.makeChain) // so that no call waits for the routers' first rules
		}
		r.invoker = cluster.Join(r.d)
	}
	return r.invoker
}

// follow subscribes and waits a while for the first list. The registry has to answer
// within timeout; once: what is refused is not tried again.
func (s *source) follow(timeout time.Duration, once bool) error {
	reg, free, err := s.reached(timeout, once)
	silent.note(s.url, err)
	if err != nil {
		return err
	}
	if r, ok := behind(reg).(interface{ Reconnected() time.Time }); ok { // ours say since when they are back
		s.d.mu.Lock()
		s.back = r.Reconnected
		s.d.mu.Unlock()
	}
	subscribed, ended := make(chan struct{}), make(chan struct{})
	_, application := reg.(registry.ServiceDiscoveryRegistry)
	listener := s.listener(application)
	if err := reg.LoadSubscribeInstances(s.ref, listener); err != nil {
		logger.Warnf("[graylane] %s: first list: %v", s.ref.Service(), err)
	}
	go func() {
		defer close(ended)
		err := s.subscribe(reg, listener)
		close(subscribed)
		if err != nil {
			logger.Errorf("[graylane] %s: subscription: %v", s.ref.Service(), err)
		}
		if application {
			s.keepAsking(func() {
				if err := s.subscribe(reg, listener); err != nil {
					logger.Warnf("[graylane] %s: subscription: %v", s.ref.Service(), err)
				}
			})
		}
	}()
	s.atEnd(func() {
		if s.unsubscribe(reg, listener, application, ended) {
			free()
		}
	})
	wait := time.NewTimer(firstList)
	defer wait.Stop()
	first, delivered := (<-chan struct{})(s.first), (<-chan struct{})(subscribed)
	switch {
	case listener != registry.NotifyListener(s):
		delivered = nil // who listens for all groups hears of them a little later, of all at once
	case application:
		first = nil // the present list comes one by one, and all of it before Subscribe returns
	}
	select {
	case <-first:
	case <-delivered:
	case <-wait.C:
	}
	s.d.awaitConnections()
	s.settle()
	return nil
}

// reached returns a registry object that answers, and takes it, see [subscription].
func (s *source) reached(timeout time.Duration, once bool) (reg registry.Registry, free func(), err error) {
	if err := reach(s.url, timeout, once); err != nil {
		return nil, nil, err
	}
	if reg, free, err = subscription(s.url, s.ref); err != nil {
		return nil, nil, err
	}
	if err := ask(reg, timeout); err != nil {
		free() // for the next try
		return nil, nil, err
	}
	return reg, free, nil
}

// awaitConnections waits until all that are being made are there, or some of them and
// the others had their time, so that an address that answers nothing does not hold the
// start up.
func (d *Directory) awaitConnections() {
	some := make(chan struct{}, 1)
	look := func() {
		if len(*d.list.Load()) > 0 {
			select {
			case some <- struct{}{}:
			default:
			}
		}
	}
	defer d.Watch(look)()
	look()
	wait := time.NewTimer(firstConnections)
	defer wait.Stop()
	all, one := d.connected(), (<-chan struct{})(some)
	for {
		select {
		case <-all:
			return
		case <-one:
			wait.Reset(otherConnections)
			one = nil
		case <-wait.C:
			return
		}
	}
}

// checker is a registry or discovery that can be asked, as those of Graylane can.
type checker interface {
	Check(ctx context.Context) error
}

// ask lets a registry that can be asked say whether it answers: a port that takes
// connections is not yet a registry that works.
func ask(reg registry.Registry, timeout time.Duration) error {
	c, ok := behind(reg).(checker)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	return c.Check(ctx)
}

// behind returns what speaks to the registry: at application level a discovery.
func behind(reg registry.Registry) any {
	sd, ok := reg.(interface {
		GetServiceDiscovery() registry.ServiceDiscovery
	})
	if !ok {
		return reg
	}
	d := sd.GetServiceDiscovery()
	if wrapped, ok := d.(*serviceDiscovery); ok {
		return wrapped.ServiceDiscovery
	}
	return d
}

// subscribe follows the applications named by `provided-by`, else those that are mapped
// to the service; at interface level it asks the registry. dubbo-go's application level
// forgets to subscribe to the former: it takes the names for a mapping that has not
// changed.
func (s *source) subscribe(reg registry.Registry, listener registry.NotifyListener) error {
	direct, ok := reg.(byApplication)
	if !ok {
		return reg.Subscribe(s.ref, listener)
	}
	named := gxset.NewSet()
	for app := range strings.SplitSeq(s.ref.GetParam(constant.ProvidedBy, ""), ",") {
		if app = strings.TrimSpace(app); app != "" {
			named.Add(app)
		}
	}
	if named.Empty() {
		return s.mapped(direct, listener).find()
	}
	direct.SubscribeURL(s.ref, listener, named)
	return nil
}

// keepAsking asks again until the registry has said a first word: dubbo-go
// gives up on a service that no application has been mapped to yet, so that a
// consumer that starts before its first provider would never see one.
func (s *source) keepAsking(ask func()) {
	for pause := redial; ; pause = min(2*pause, askMax) {
		select {
		case <-s.first: // or destroyed
			return
		case <-time.After(pause):
		}
		ask()
	}
}

// unsubscribe ends the subscription where that is safe, waits until it has ended, and
// reports whether another reference may then take the registry object. At application
// level dubbo-go's UnSubscribe would take the mapping from other references, too, but
// there the next listener of a service replaces the last. dubbo-go's ZooKeeper
// registry, which cannot be asked, hands a second subscription no list: its object
// stays taken.
func (s *source) unsubscribe(reg registry.Registry, listener registry.NotifyListener, application bool, ended <-chan struct{}) bool {
	if _, ours := reg.(checker); !application && !ours {
		return false
	}
	for {
		if !application { // again, for Subscribe may have been about to begin
			if err := reg.UnSubscribe(s.ref, listener); err != nil {
				logger.Warnf("[graylane] %s: end of the subscription: %v", s.ref.Service(), err)
				return false
			}
		}
		select {
		case <-ended:
			return true
		case <-time.After(redial):
		}
	}
}

func (s *source) followLater(timeout time.Duration) {
	for pause := redial; ; pause = min(2*pause, redialMax) {
		time.Sleep(pause)
		s.d.mu.Lock()
		gone := s.d.gone
		s.d.mu.Unlock()
		if gone || s.follow(timeout, false) == nil {
			return
		}
	}
}

// subscriptions are the registry objects of this process, by address. dubbo-go's
// application level keeps one listener a service and registry object, so that a
// second reference to the same service needs an object of its own.
var subscriptions struct { //nolint:gochecknoglobals // registry objects are shared by all references of the process
	sync.Mutex
	m map[string][]*subscribed
}

type subscribed struct {
	registry registry.Registry
	services map[string]bool
}

// subscription returns a registry object on which nobody follows the service of ref,
// and takes it for that service until free is called.
func subscription(u, ref *common.URL) (reg registry.Registry, free func(), err error) {
	key := strings.Join([]string{
		u.Protocol, u.GetParam(constant.RegistryKey, ""), u.Location, u.GetParam(constant.RegistryNamespaceKey, ""),
		u.GetParam(constant.RegistryGroupKey, ""), u.GetParam(constant.RegistryIdKey, ""),
	}, "|")
	service := ref.ServiceKey() + ":" + ref.Protocol
	subscriptions.Lock()
	defer subscriptions.Unlock()
	for _, s := range subscriptions.m[key] {
		if !s.services[service] {
			s.services[service] = true
			return s.registry, s.free(service), nil
		}
	}
	c := u.Clone()
	c.SubURL = u.SubURL
	if u.Protocol == constant.ServiceRegistryProtocol {
		c.SetParam(realKey, u.GetParam(constant.RegistryKey, ""))
		c.SetParam(constant.RegistryKey, discoveryName)
	}
	if reg, err = create(u.Protocol, c); err != nil {
		return nil, nil, err
	}
	if subscriptions.m == nil {
		subscriptions.m = make(map[string][]*subscribed)
	}
	s := &subscribed{reg, map[string]bool{service: true}}
	subscriptions.m[key] = append(subscriptions.m[key], s)
	return reg, s.free(service), nil
}

// free returns a function that gives the object back for the service.
func (s *subscribed) free(service string) func() {
	return func() {
		subscriptions.Lock()
		defer subscriptions.Unlock()
		delete(s.services, service)
	}
}

// create turns dubbo-go's panic for a registry that nobody imported into an error.
func create(name string, u *common.URL) (reg registry.Registry, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return extension.GetRegistry(name, u)
}

// Registries returns the registry objects that subscribe, for those who end them.
func Registries() []registry.Registry {
	subscriptions.Lock()
	defer subscriptions.Unlock()
	var out []registry.Registry
	for _, list := range subscriptions.m {
		for _, s := range list {
			out = append(out, s.registry)
		}
	}
	return out
}
