// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

// application is what a Discovery knows of one application: its last list and the
// listeners. One goroutine calls the listeners, so that pushes during a slow call
// become one event.
type application struct {
	key   serviceKey
	dirty chan struct{} // holds one token: there may be a list that somebody has not heard

	mu       sync.Mutex
	hosts    []model.Instance // never changed
	known    bool             // hosts were read at least once
	version  uint64           // counts what the watch brought; 0: nothing yet
	heard    map[registry.ServiceInstancesChangedListener]uint64
	order    []registry.ServiceInstancesChangedListener
	followed bool
}

func newApplication(key serviceKey) *application {
	return &application{key: key, dirty: make(chan struct{}, 1), heard: make(map[registry.ServiceInstancesChangedListener]uint64)}
}

// add makes l hear of every list, beginning with the present one if it is known. It
// reports whether the caller has to start the goroutine.
func (a *application) add(l registry.ServiceInstancesChangedListener) (start bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, ok := a.heard[l]; ok {
		return false
	}
	a.heard[l] = 0
	a.order = append(a.order, l)
	start = !a.followed
	a.followed = true
	mark(a.dirty)
	return start
}

func (a *application) remove(l registry.ServiceInstancesChangedListener) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.heard, l)
	a.order = slices.DeleteFunc(a.order, func(x registry.ServiceInstancesChangedListener) bool { return x == l })
}

// read remembers a list that was read beside the subscription, where none keeps it:
// the two may be of different ages.
func (a *application) read(hosts []model.Instance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.followed {
		a.hosts, a.known = hosts, true
	}
}

// last returns the last list; known is false if there never was one.
func (a *application) last() (hosts []model.Instance, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.hosts, a.known
}

// follow tells every listener of every list, until ctx ends.
func (a *application) follow(ctx context.Context, s *shared) {
	w := s.watch(a.key, a.dirty)
	defer w.stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.dirty:
		}
		for ctx.Err() == nil {
			l, hosts := a.next(w.take())
			if l == nil {
				break
			}
			list := decodeAll(a.key.name, a.key.group, hosts, false)
			if err := l.OnEvent(registry.NewServiceInstancesChangedEvent(a.key.name, list)); err != nil {
				logger.Warnf("[graylane] nacos: application %s: a listener failed on %d instances: %v", a.key.name, len(list), err)
			}
		}
	}
}

// next takes over a new list, if there is one, and returns a listener that has not
// heard the latest, and that list.
func (a *application) next(l *list) (registry.ServiceInstancesChangedListener, []model.Instance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l != nil {
		a.hosts, a.known = l.hosts, true
		a.version++
	}
	for _, l := range a.order {
		if a.heard[l] < a.version {
			a.heard[l] = a.version
			return l, a.hosts
		}
	}
	return nil, nil
}
