// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/gof/observer"
	"github.com/dubbogo/gost/log/logger"
)

// listener repairs the instances of every push, and repeats a push of which
// dubbo-go has left out instances because their metadata could not be fetched.
// It handles one event at a time, in order.
type listener struct {
	registry.ServiceInstancesChangedListener
	discovery string // see discoveryKey

	mu    sync.Mutex
	retry *time.Timer
	pause time.Duration
}

// OnEvent hands the repaired list on.
func (l *listener) OnEvent(e observer.Event) error {
	c, ok := e.(*registry.ServiceInstancesChangedEvent)
	if !ok {
		return l.ServiceInstancesChangedListener.OnEvent(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = redial
	return l.deliver(c.ServiceName, c.Instances)
}

// resync hands on the list that get returns. It asks for it with the lock held,
// so that a newer push cannot be overtaken.
func (l *listener) resync(app string, get func() []registry.ServiceInstance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause = redial
	if err := l.deliver(app, get()); err != nil {
		logger.Warnf("[graylane] instances of %s: %v", app, err)
	}
}

// deliver hands a list on and plans its repetition. l.mu is held.
func (l *listener) deliver(app string, list []registry.ServiceInstance) error {
	if l.retry != nil {
		l.retry.Stop()
		l.retry = nil
	}
	repaired := weighed(wrap(list), l.discovery)
	err := l.ServiceInstancesChangedListener.OnEvent(registry.NewServiceInstancesChangedEvent(app, repaired))
	tellWildcards(l.discovery, app, repaired)
	missing := 0
	for _, i := range repaired {
		if i, ok := i.(*instance); ok && !i.described() {
			missing++
		}
	}
	if missing > 0 {
		logger.Warnf("[graylane] %s: no metadata of %d of %d instances, trying again in %v", app, missing, len(repaired), l.pause)
		l.retry = time.AfterFunc(l.pause, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.pause = min(2*l.pause, redialMax)
			_ = l.deliver(app, list) // a failure has been logged by dubbo-go
		})
	}
	return err
}
