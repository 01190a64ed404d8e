// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// wildcard listens at application level for a service in all groups. dubbo-go
// compares groups literally there, so that a reference with group "*" finds
// nobody: it is told nothing, and its list is made here from the instances that
// pass through [listener].
type wildcard struct {
	s *source

	mu   sync.Mutex
	apps map[string][]*common.URL
}

// wildcards are those of this process.
var wildcards struct { //nolint:gochecknoglobals // instances pass by service discovery, not by reference
	sync.Mutex
	m map[*source]*wildcard
}

// listener returns who is to hear of the source's providers.
func (s *source) listener(application bool) registry.NotifyListener {
	if !application || s.ref.GetParam(constant.GroupKey, "") != constant.AnyValue {
		return s
	}
	wildcards.Lock()
	defer wildcards.Unlock()
	w := wildcards.m[s]
	if w == nil {
		if wildcards.m == nil {
			wildcards.m = make(map[*source]*wildcard)
		}
		w = &wildcard{s: s, apps: make(map[string][]*common.URL)}
		wildcards.m[s] = w
	}
	return w
}

// Notify ignores what dubbo-go says of the group named "*".
func (*wildcard) Notify(*registry.ServiceEvent) {}

// NotifyAll ignores it, too.
func (*wildcard) NotifyAll(_ []*registry.ServiceEvent, done func()) {
	if done != nil {
		done()
	}
}

// tellWildcards hands the instances of an application at a registry on to those
// who listen for all groups there.
func tellWildcards(discovery, app string, list []registry.ServiceInstance) {
	wildcards.Lock()
	var all []*wildcard
	for s, w := range wildcards.m {
		if discovery == discoveryKey(s.url) {
			all = append(all, w)
		}
	}
	wildcards.Unlock()
	for _, w := range all {
		w.update(app, list)
	}
}

func (w *wildcard) update(app string, list []registry.ServiceInstance) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.apps, app)
	for _, i := range list {
		if m := i.GetServiceMetadata(); m != nil {
			for _, service := range m.GetServices() {
				if w.wants(service) {
					w.apps[app] = append(w.apps[app], i.ToURLs(service)...)
				}
			}
		}
	}
	var events []*registry.ServiceEvent
	for _, urls := range w.apps {
		for _, u := range urls {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: u})
		}
	}
	w.s.NotifyAll(events, nil)
}

func (w *wildcard) wants(service *info.ServiceInfo) bool {
	version := w.s.ref.GetParam(constant.VersionKey, "")
	return service.Name == w.s.ref.Service() && (version == constant.AnyValue || version == service.Version) &&
		(w.s.ref.Protocol == "" || w.s.ref.Protocol == service.Protocol)
}

// forgetWildcards ends the listening of a directory's sources.
func forgetWildcards(sources []*source) {
	wildcards.Lock()
	defer wildcards.Unlock()
	for _, s := range sources {
		delete(wildcards.m, s)
	}
}
