// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"maps"
	"slices"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

// lookEvery is how often a subscription with "*" looks for new services.
const lookEvery = 10 * time.Second

// view is what one subscription knows of its services (nearly always one), and the
// way to its listener. It belongs to one goroutine.
type view struct {
	shared   *shared
	group    string // of Nacos
	wanted   wanted
	listener registry.NotifyListener

	dirty   chan struct{}
	watches map[string]*watch
	lists   map[string]*list
	told    []*common.URL // the last list that the listener knows
}

func (s services) newView(u *common.URL, l registry.NotifyListener) *view {
	return &view{
		shared: s.shared, group: groupOf(s.url), wanted: wantedBy(u), listener: l,
		dirty: make(chan struct{}, 1), watches: make(map[string]*watch), lists: make(map[string]*list),
	}
}

// follow hands over every list until ctx ends.
func (v *view) follow(ctx context.Context) {
	defer func() {
		for _, w := range v.watches {
			w.stop()
		}
	}()
	var look <-chan time.Time
	if v.wanted.open() {
		t := time.NewTicker(lookEvery)
		defer t.Stop()
		look = t.C
		v.look(ctx)
	} else {
		v.watch(v.wanted.names())
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-look:
			v.look(ctx)
		case <-v.dirty:
			v.deliver()
		}
	}
}

// look asks Nacos which services there are.
func (v *view) look(ctx context.Context) {
	names, err := v.find(ctx)
	if err != nil {
		if ctx.Err() == nil {
			logger.Warnf("[graylane] nacos %s: list of services: %v; looking again in %v", v.shared.address.where(), err, lookEvery)
		}
		return
	}
	v.watch(names)
	if len(v.watches) == 0 { // nothing will come that could say so
		v.listener.NotifyAll(nil, func() {})
	}
}

// find returns the names of the wanted services.
func (v *view) find(ctx context.Context) ([]string, error) {
	if !v.wanted.open() {
		return v.wanted.names(), nil
	}
	all, err := v.shared.names(ctx, v.group)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(name string) bool { return !v.wanted.matches(name) }), nil
}

func (v *view) watch(names []string) {
	for _, name := range names {
		if v.watches[name] == nil {
			v.watches[name] = v.shared.watch(serviceKey{v.group, name}, v.dirty)
		}
	}
}

// load asks for the lists once and hands them over.
func (v *view) load(ctx context.Context) error {
	names, err := v.find(ctx)
	if err != nil {
		return err
	}
	var urls []*common.URL
	for _, name := range names {
		hosts, err := v.shared.query(ctx, serviceKey{v.group, name})
		if err != nil {
			return err
		}
		urls = append(urls, providers(hosts)...)
	}
	v.tell(urls)
	return nil
}

// deliver hands over the latest lists, once all are known.
func (v *view) deliver() {
	same := true // the server ran all the time since the lists before
	changed := false
	for name, w := range v.watches {
		l := w.take()
		if l == nil {
			continue
		}
		before := v.lists[name]
		same = same && before != nil && before.from == l.from
		v.lists[name] = l
		changed = true
	}
	if !changed || len(v.lists) < len(v.watches) {
		return
	}
	var urls []*common.URL
	for _, name := range slices.Sorted(maps.Keys(v.lists)) {
		urls = append(urls, providers(v.lists[name].hosts)...)
	}
	if same && len(urls) == 0 && len(v.told) == 1 {
		// The one there was has left or was disabled: an explicit word. A list that a
		// server without memory sends, or that lost several at once, is none.
		v.listener.Notify(&registry.ServiceEvent{Action: remoting.EventTypeDel, Service: v.told[0]})
		v.told = nil
		return
	}
	v.tell(urls)
}

func (v *view) tell(urls []*common.URL) {
	events := make([]*registry.ServiceEvent, 0, len(urls))
	for _, u := range urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u})
	}
	v.told = urls
	v.listener.NotifyAll(events, func() {})
}

func providers(hosts []model.Instance) []*common.URL {
	urls := make([]*common.URL, 0, len(hosts))
	for _, host := range hosts {
		if !usable(host) {
			continue
		}
		if u := providerURL(host); u != nil {
			urls = append(urls, u)
		}
	}
	return urls
}
