// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"context"
	"maps"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"
)

// application is what a Discovery knows of one application: its last list, and the
// listeners. One goroutine follows the registry, another one calls listeners, so that
// changes during a slow call become one event.
type application struct {
	name  string
	dirty chan struct{} // holds one token: somebody has not heard the latest

	mu       sync.Mutex
	list     []*registry.DefaultServiceInstance // never changed
	known    bool                               // there was a list
	version  uint64                             // counts what the watch brought; 0: nothing yet
	heard    map[registry.ServiceInstancesChangedListener]uint64
	order    []registry.ServiceInstancesChangedListener
	followed bool
	broken   bool // the last read beside the watch failed
}

func newApplication(name string) *application {
	return &application{name: name, dirty: make(chan struct{}, 1), heard: make(map[registry.ServiceInstancesChangedListener]uint64)}
}

// add makes l hear of every list, beginning with the present one if it is known. It
// reports whether the caller has to start the goroutines.
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

// replace takes a list of the watch.
func (a *application) replace(list []*registry.DefaultServiceInstance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list, a.known = list, true
	a.version++
	a.mark()
}

// read takes a list that was read beside the watch. It is remembered only where no watch
// keeps the list: the two may be of different ages.
func (a *application) read(list []*registry.DefaultServiceInstance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.followed {
		a.list, a.known = list, true
	}
}

// last returns the last list; known is false if there never was one.
func (a *application) last() (list []*registry.DefaultServiceInstance, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list, a.known
}

// firstFailure takes how a read went and reports the first of several failures.
func (a *application) firstFailure(err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := err != nil && !a.broken
	a.broken = err != nil
	return first
}

// deliver tells every listener that has not heard the latest list, until ctx ends.
func (a *application) deliver(ctx context.Context, registryName string) {
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
				logger.Warnf("[graylane] %s: application %s: a listener failed on %d instances: %v", registryName, a.name, len(list), err)
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
			return l, a.list
		}
	}
	return nil, nil
}

// copies gives every listener instances of its own: dubbo-go's listeners change them.
func copies(list []*registry.DefaultServiceInstance) []registry.ServiceInstance {
	out := make([]registry.ServiceInstance, 0, len(list))
	for _, i := range list {
		own := *i
		own.Metadata = maps.Clone(i.Metadata)
		out = append(out, &own)
	}
	return out
}
