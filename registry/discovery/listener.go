// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/gof/observer"
	"github.com/dubbogo/gost/log/logger"
)

// listener repairs the instances of every push, and holds back those of which nobody
// could be asked yet what they offer; it hands the list on again when that is known.
// It handles one event at a time, in order, and waits for no instance.
type listener struct {
	registry.ServiceInstancesChangedListener
	discovery, registryID string // see discoveryKey

	mu   sync.Mutex
	apps map[string]*pushed
}

// pushed is what the registry said last of one application.
type pushed struct {
	list   []registry.ServiceInstance
	round  int               // of pushes
	handed bool              // any of this round's list was handed on
	open   int               // first questions of this round without an answer
	before map[string]string // by process: the revision with which it was handed on last
}

// OnEvent hands the repaired list on.
func (l *listener) OnEvent(e observer.Event) error {
	c, ok := e.(*registry.ServiceInstancesChangedEvent)
	if !ok {
		return l.ServiceInstancesChangedListener.OnEvent(e)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.push(c.ServiceName, c.Instances)
}

// resync hands on the list that get returns. It asks for it with the lock held,
// so that a newer push cannot be overtaken.
func (l *listener) resync(app string, get func() []registry.ServiceInstance) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.push(app, get()); err != nil {
		logger.Warnf("[graylane] instances of %s: %v", app, err)
	}
}

// push takes a new list. l.mu is held.
func (l *listener) push(app string, list []registry.ServiceInstance) error {
	p := l.apps[app]
	if p == nil {
		p = &pushed{}
		if l.apps == nil {
			l.apps = make(map[string]*pushed)
		}
		l.apps[app] = p
	}
	p.round++
	known, asked := split(weighed(wrap(list), l.discovery), l.registryID, p.before)
	p.list, p.handed, p.open = list, false, len(asked)
	for o, of := range asked {
		l.ask(o, of, p, true, redial)
	}
	if len(known) == 0 && len(asked) > 0 {
		return nil // an empty list would be a word of its own: the first answers decide
	}
	return l.handOn(app, p, known)
}

// handOn hands on what is known of the last list. l.mu is held.
func (l *listener) handOn(app string, p *pushed, list []registry.ServiceInstance) error {
	p.handed = true
	p.before = make(map[string]string, len(list))
	for _, i := range list {
		p.before[process(i)] = i.GetMetadata()[constant.ExportedServicesRevisionPropertyName]
	}
	err := l.ServiceInstancesChangedListener.OnEvent(registry.NewServiceInstancesChangedEvent(app, list))
	tellWildcards(l.discovery, app, list)
	for _, i := range list {
		if w, ok := i.(*instance); ok && !w.described() { // dubbo-go has forgotten the answer, and got none
			if o, something := offerOf(i, l.registryID); something && o.known() {
				o.forget()
				l.ask(o, []registry.ServiceInstance{i}, p, false, redial)
			}
		}
	}
	return err
}

// ask asks for an offer in the background, again and again until there is an answer
// or a newer list; first: it is one of pushed.open. l.mu is held.
func (l *listener) ask(o offer, of []registry.ServiceInstance, p *pushed, first bool, pause time.Duration) {
	q, round := o.ask(of), p.round
	go func() {
		<-q.done
		l.mu.Lock()
		defer l.mu.Unlock()
		if p.round != round {
			return
		}
		if first {
			p.open--
		}
		if q.err != nil {
			logger.Warnf("[graylane] %s: what %d of its instances offer (revision %s) is not known, asking again in %v: %v",
				o.app, len(of), o.revision, pause, q.err)
			time.AfterFunc(pause, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				if p.round == round {
					l.ask(o, of, p, false, min(2*pause, redialMax))
				}
			})
			if p.handed || p.open > 0 {
				return
			}
		}
		known, _ := split(weighed(wrap(p.list), l.discovery), l.registryID, p.before)
		_ = l.handOn(o.app, p, known) // a failure has been logged by dubbo-go
	}()
}
