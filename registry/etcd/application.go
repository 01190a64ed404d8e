// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// application is what a Discovery knows of one application: its instances, and the
// listeners. One goroutine follows etcd, another one calls listeners, so that
// changes during a slow call become one event.
type application struct {
	name  string
	dirty chan struct{} // holds one token: somebody has not heard the latest

	mu        sync.Mutex
	instances map[string]*registry.DefaultServiceInstance // by key; values are never changed
	known     bool                                        // instances were read at least once
	version   uint64                                      // counts what the watch brought; 0: nothing yet
	heard     map[registry.ServiceInstancesChangedListener]uint64
	order     []registry.ServiceInstancesChangedListener
	watched   bool
}

func newApplication(name string) *application {
	return &application{
		name:  name,
		dirty: make(chan struct{}, 1),
		heard: make(map[registry.ServiceInstancesChangedListener]uint64),
	}
}

// add makes l hear of every change, beginning with the present list if it is
// known. It reports whether the caller has to start the goroutines.
func (a *application) add(l registry.ServiceInstancesChangedListener) (start bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.heard[l]; ok {
		return false
	}
	a.heard[l] = 0
	a.order = append(a.order, l)
	start = !a.watched
	a.watched = true
	a.mark()
	return start
}

func (a *application) remove(l registry.ServiceInstancesChangedListener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.heard, l)
	a.order = slices.DeleteFunc(a.order, func(x registry.ServiceInstancesChangedListener) bool { return x == l })
}

func (a *application) mark() {
	select {
	case a.dirty <- struct{}{}:
	default:
	}
}

// replace takes the whole list.
func (a *application) replace(list []entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instances, a.known = a.decodeAll(list), true
	a.version++
	a.mark()
}

// readOnce takes a list read beside the watch and returns its instances. It is
// remembered only where no watch keeps the list: the two may be of different ages.
func (a *application) readOnce(list []entry) []*registry.DefaultServiceInstance {
	a.mu.Lock()
	defer a.mu.Unlock()
	instances := a.decodeAll(list)
	if !a.watched {
		a.instances, a.known = instances, true
	}
	return sorted(instances)
}

// decodeAll reads a whole list. The caller holds mu.
func (a *application) decodeAll(list []entry) map[string]*registry.DefaultServiceInstance {
	instances := make(map[string]*registry.DefaultServiceInstance, len(list))
	for _, e := range list {
		if i := a.decode(e); i != nil {
			instances[e.key] = i
		}
	}
	return instances
}

// apply takes single changes.
func (a *application) apply(changes []change) {
	a.mu.Lock()
	defer a.mu.Unlock()
	instances := maps.Clone(a.instances)
	for _, c := range changes {
		if c.deleted {
			delete(instances, c.key)
		} else if i := a.decode(c.entry); i != nil {
			instances[c.key] = i
		}
	}
	a.instances = instances
	a.version++
	a.mark()
}

// decode reads one value. One that cannot be read leaves what was known under its
// key, if anything. The caller holds mu.
func (a *application) decode(e entry) *registry.DefaultServiceInstance {
	if strings.Contains(strings.TrimPrefix(e.key, instanceFolder(a.name)), "/") {
		return nil // of an application whose name begins with ours and a slash
	}
	i, err := decodeInstance(e.value)
	if err != nil {
		logger.Warnf("[graylane] etcd: %s: unreadable instance: %v", e.key, err)
		return a.instances[e.key]
	}
	return i
}

// list returns the instances sorted by key; known is false if they were never read.
func (a *application) list() (list []*registry.DefaultServiceInstance, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return sorted(a.instances), a.known
}

func sorted(instances map[string]*registry.DefaultServiceInstance) []*registry.DefaultServiceInstance {
	list := make([]*registry.DefaultServiceInstance, 0, len(instances))
	for _, key := range slices.Sorted(maps.Keys(instances)) {
		list = append(list, instances[key])
	}
	return list
}

// deliver tells every listener that has not heard the latest list, until ctx ends.
func (a *application) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.dirty:
		}
		for ctx.Err() == nil {
			l, list := a.next()
			if l == nil {
				break
			}
			if err := l.OnEvent(registry.NewServiceInstancesChangedEvent(a.name, copyInstances(list))); err != nil {
				logger.Warnf("[graylane] etcd: application %s: a listener failed on %d instances: %v", a.name, len(list), err)
			}
		}
	}
}

// next returns a listener that has not heard the latest list, and that list.
func (a *application) next() (registry.ServiceInstancesChangedListener, []*registry.DefaultServiceInstance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.order {
		if a.heard[l] < a.version {
			a.heard[l] = a.version
			return l, sorted(a.instances)
		}
	}
	return nil, nil
}
