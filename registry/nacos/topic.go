// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

// topic is one service that somebody watches: one subscription at the server.
type topic struct {
	watches []*watch
	on      *conn  // the connection that it is subscribed on
	list    *list  // the last list, nil before the first; never changed
	count   uint64 // of lists
	pushes  uint64
}

// list is what the server said of a service. It is immutable, its maps included.
type list struct {
	hosts []model.Instance
	from  *conn  // two lists from one connection: the server ran all the time between
	count uint64 // of this topic
}

// watch is one watcher of a topic.
type watch struct {
	shared *shared
	key    serviceKey
	topic  *topic
	dirty  chan<- struct{}
	taken  uint64 // of the watcher's goroutine
}

// watch subscribes to a service. The watcher takes lists until it calls stop; dirty,
// which holds one token, says that there may be one. Watches may share it.
func (s *shared) watch(key serviceKey, dirty chan struct{}) *watch {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[key]
	if t == nil {
		t = &topic{}
		s.topics[key] = t
	}
	w := &watch{shared: s, key: key, topic: t, dirty: dirty}
	t.watches = append(t.watches, w)
	if t.list != nil {
		mark(dirty)
	}
	s.start()
	s.wake()
	return w
}

// take returns the latest list if it was not taken yet, else nil.
func (w *watch) take() *list {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	l := w.topic.list
	if l == nil || l.count == w.taken {
		return nil
	}
	w.taken = l.count
	return l
}

// stop ends the watch; the last one ends the subscription.
func (w *watch) stop() {
	w.shared.mu.Lock()
	defer w.shared.mu.Unlock()
	w.topic.watches = slices.DeleteFunc(w.topic.watches, func(x *watch) bool { return x == w })
	w.shared.wake()
}

// set makes hosts the topic's list, from connection c. s.mu is held.
func (t *topic) set(c *conn, hosts []model.Instance) {
	t.count++
	t.list = &list{hosts: hosts, from: c, count: t.count}
	for _, w := range t.watches {
		mark(w.dirty)
	}
}

func mark(dirty chan<- struct{}) {
	select {
	case dirty <- struct{}{}:
	default:
	}
}

// pushed takes a list that the server sent by itself; they arrive in order. The
// SDK drops those that look older by the server's clock: after a change of the
// server that is a clock of another machine.
func (s *shared) pushed(c *conn, v *model.Service) {
	key := serviceKey{v.GroupName, v.Name}
	if group, name, ok := strings.Cut(v.Name, "@@"); ok {
		key = serviceKey{group, name}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.topics[key]
	if t == nil || s.now != c {
		return
	}
	before := t.list
	t.pushes++
	t.set(c, v.Hosts)
	s.askWhy(c, key, t, before)
}

// subscribe begins or ends a subscription. Only the keeper calls it.
func (s *shared) subscribe(ctx context.Context, c *conn, key serviceKey, t *topic) error {
	s.mu.Lock()
	begin, pushes := len(t.watches) > 0, t.pushes
	s.mu.Unlock()
	r := rpc_request.NewSubscribeServiceRequest(s.address.namespace, key.name, key.group, "", begin)
	r.GetHeaders()["app"] = s.address.app
	a, err := s.send(ctx, c, r)
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", key, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !begin {
		t.on = nil
		t.list = nil // without a subscription it grows old
		return nil
	}
	t.on = c
	if t.pushes == pushes { // else a push, made later, overtook the answer
		t.set(c, a.ServiceInfo.Hosts)
	}
	return nil
}
