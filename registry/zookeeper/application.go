// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// application is what a Discovery knows of one application: its instances, and the
// listeners. One goroutine follows ZooKeeper, another one calls listeners, so that
// changes during a slow call become one event.
type application struct {
	name  string
	dirty chan struct{} // holds one token: somebody has not heard the latest

	mu        sync.Mutex
	instances []*registry.DefaultServiceInstance // never changed
	nodes     map[string]*content                // what was read of each
	version   uint64                             // counts the lists; 0: none yet
	heard     map[registry.ServiceInstancesChangedListener]uint64
	order     []registry.ServiceInstancesChangedListener
}

// content is what was last read of a node.
type content struct {
	value    string
	instance *registry.DefaultServiceInstance // of the last value that could be read
}

func newApplication(name string) *application {
	return &application{
		name: name, dirty: make(chan struct{}, 1), nodes: make(map[string]*content),
		heard: make(map[registry.ServiceInstancesChangedListener]uint64),
	}
}

// add makes l hear of every change, beginning with the present list if it is known. It
// reports whether the caller has to start the goroutines.
func (a *application) add(l registry.ServiceInstancesChangedListener) (start bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.heard[l]; ok {
		return false
	}
	start = len(a.heard) == 0 && a.order == nil
	a.heard[l] = 0
	a.order = append(a.order, l)
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
	instances := a.decode(list)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.instances = instances
	a.version++
	a.mark()
}

// decode reads a list. Of a node that cannot be read what was known stays, if anything.
func (a *application) decode(list []entry) []*registry.DefaultServiceInstance {
	a.mu.Lock()
	defer a.mu.Unlock()
	nodes := make(map[string]*content, len(list))
	out := make([]*registry.DefaultServiceInstance, 0, len(list))
	for _, e := range list {
		n := a.nodes[e.name]
		if n == nil || n.value != e.value {
			i, err := decodeInstance(e.value)
			if err != nil {
				logger.Warnf("[graylane] zookeeper: %s of %s: unreadable instance: %v", e.name, a.name, err)
				if n != nil {
					i = n.instance
				}
			}
			n = &content{e.value, i}
		}
		nodes[e.name] = n
		if n.instance != nil {
			out = append(out, n.instance)
		}
	}
	a.nodes = nodes
	return out
}

// last returns the list that listeners are told; known is false if there was none.
func (a *application) last() (list []*registry.DefaultServiceInstance, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.instances, a.version > 0
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
			if err := l.OnEvent(registry.NewServiceInstancesChangedEvent(a.name, copies(list))); err != nil {
				logger.Warnf("[graylane] zookeeper: application %s: a listener failed on %d instances: %v", a.name, len(list), err)
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
			return l, a.instances
		}
	}
	return nil, nil
}
