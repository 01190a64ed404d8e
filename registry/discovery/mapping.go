// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
	"github.com/dubbogo/gost/gof/observer"
)

// byApplication is dubbo-go's registry at application level.
type byApplication interface {
	SubscribeURL(u *common.URL, listener registry.NotifyListener, apps *gxset.HashSet)
}

// apps follows the applications that offer a service, by the mapping that they write.
//
// dubbo-go does that, too: when a second application joins, it subscribes to both, and
// forgets that it has subscribed to the first. Then two of its listeners hand over
// what each calls the complete list, and after a push of the first application the
// instances of the second may be gone. Here each application is asked for once: those
// that join later by a source of their own.
type apps struct {
	s        *source
	registry byApplication
	listener registry.NotifyListener // of the first

	mu    sync.Mutex
	known *gxset.HashSet
}

var _ mapping.MappingListener = (*apps)(nil)

// mapped returns the source's apps, which are made once: reports know a listener that
// listens already.
func (s *source) mapped(reg byApplication, listener registry.NotifyListener) *apps {
	s.d.mu.Lock()
	defer s.d.mu.Unlock()
	if s.apps == nil {
		s.apps = &apps{s: s, registry: reg, listener: listener, known: gxset.NewSet()}
	}
	return s.apps
}

// find asks for the mapping and follows those that it names, now and later.
func (a *apps) find() error {
	names, err := extension.GetGlobalServiceNameMapping().Get(a.s.ref, a)
	if err != nil {
		return err
	}
	a.follow(names)
	return nil
}

// OnEvent implements dubbo-go's MappingListener.
func (a *apps) OnEvent(e observer.Event) error {
	if m, ok := e.(*registry.ServiceMappingChangeEvent); ok {
		a.follow(m.GetServiceNames())
	}
	return nil
}

// Stop implements dubbo-go's MappingListener: a directory that has ended follows nothing.
func (*apps) Stop() {}

// follow subscribes to the applications that are not known yet.
func (a *apps) follow(names *gxset.HashSet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	news := gxset.NewSet()
	for _, name := range names.Values() {
		if !a.known.Contains(name) {
			news.Add(name)
		}
	}
	if news.Empty() {
		return
	}
	s, listener := a.s, a.listener
	if !a.known.Empty() && listener == registry.NotifyListener(a.s) { // who listens for all groups tells applications apart
		joined := a.s.another()
		if joined == nil {
			return
		}
		s, listener = joined, joined
	}
	a.known.Add(news.Values()...)
	ask := func() { a.registry.SubscribeURL(a.s.ref, listener, news) }
	ask()
	go s.keepAsking(ask) // an instance that comes while dubbo-go subscribes may be in neither its first list nor a push
}

// another returns a further source that asks the same registry for the same, nil if
// the directory has ended. What it lists has just been mapped, and so appeared.
func (s *source) another() *source {
	d := s.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return nil
	}
	o := &source{d: d, url: s.url, ref: s.ref, named: make(map[identity]*provider), first: make(chan struct{}), back: s.back, settled: true}
	d.sources = append(d.sources, o)
	return o
}
