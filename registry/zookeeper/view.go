// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/keeper"
	"github.com/graylane/graylane/internal/node"
)

// view is what one subscription knows of its folders (nearly always one), and the way
// to its listener.
type view struct {
	sub      node.Subscription
	listener registry.NotifyListener

	mu    sync.Mutex               // of this subscription only: keeps calls to the listener one at a time
	known []map[string]*common.URL // the wanted nodes of each folder, nil until it was read
}

func newView(sub node.Subscription, listener registry.NotifyListener) *view {
	return &view{sub: sub, listener: listener, known: make([]map[string]*common.URL, len(sub.Folders))}
}

// tell takes the nodes of folder i. One node that came or went by an event of its own
// is passed on as that, because a deletion is a word of its own; everything else as the
// whole list, once all folders have been read.
func (v *view) tell(i int, list []keeper.Entry, gap bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.known[i]
	known := make(map[string]*common.URL, len(list))
	var events []*registry.ServiceEvent
	for _, e := range list {
		u := before[e.Key]
		if u == nil {
			if u = v.parse(e.Key); u == nil {
				continue
			}
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: u.Clone()})
		}
		known[e.Key] = u
	}
	for name, u := range before {
		if known[name] == nil {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeDel, Service: u.Clone()})
		}
	}
	v.known[i] = known
	if !gap && before != nil && (len(events) < 2 || len(known) == 0) {
		for _, e := range events {
			v.listener.Notify(e)
		}
		return
	}
	v.all()
}

func (v *view) all() {
	var events []*registry.ServiceEvent
	for _, known := range v.known {
		if known == nil {
			return
		}
		for _, u := range known {
			events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
		}
	}
	v.listener.NotifyAll(events, func() {})
}

// parse returns the URL that a node's name is, or nil if the consumer does not want it.
// Anybody can write to ZooKeeper: what is no URL is ignored.
func (v *view) parse(name string) *common.URL {
	u, err := common.NewURL(name)
	if err != nil || strings.TrimSpace(name) == "" {
		logger.Warnf("[graylane] zookeeper: ignored node %q: %v", name, err)
		return nil
	}
	if !v.sub.Matches(u) {
		return nil
	}
	return u
}
