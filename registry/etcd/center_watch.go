// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/keeper"
)

// centerWatch follows one text for one listener.
type centerWatch struct {
	key      string
	listener config_center.ConfigurationListener
	cancel   context.CancelFunc

	mu    sync.Mutex // the first text may come while the listener is being removed
	heard string
}

// AddListener tells l of key's text, if there is one, and of each change from then
// on, deletes included, until RemoveListener; over outages and restarts of etcd. It
// returns at once. Adding a listener again does nothing.
func (c *Center) AddListener(key string, l config_center.ConfigurationListener, opts ...config_center.Option) {
	path := c.path(optionGroup(opts), key)
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.listeners[path] {
		if w.listener == l {
			return
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &centerWatch{key: key, listener: l, cancel: cancel}
	c.listeners[path] = append(c.listeners[path], w)
	go followText(ctx, c.address, path, w.tell)
}

// RemoveListener ends what AddListener of the same key, listener and group began;
// a call of the listener that is under way ends after it.
func (c *Center) RemoveListener(key string, l config_center.ConfigurationListener, opts ...config_center.Option) {
	path := c.path(optionGroup(opts), key)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[path] = slices.DeleteFunc(c.listeners[path], func(w *centerWatch) bool {
		if w.listener == l {
			w.cancel()
			return true
		}
		return false
	})
}

// followText calls tell with the text at path, "" for none, and after each change.
func followText(ctx context.Context, a address, path string, tell func(text string)) {
	s := acquire(a)
	defer s.release()
	s.follow(ctx, path, follower{
		list: func(list []keeper.Entry) {
			text := ""
			if len(list) > 0 {
				text = list[0].Value
			}
			tell(text)
		},
		changes: func(changes []change) {
			last := changes[len(changes)-1]
			if last.deleted {
				last.Value = ""
			}
			tell(last.Value)
		},
	})
}

// tell gives the listener a text that it does not know.
func (w *centerWatch) tell(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text == w.heard {
		return
	}
	event := &config_center.ConfigChangeEvent{Key: w.key, Value: text, ConfigType: remoting.EventTypeUpdate}
	switch {
	case text == "":
		event.ConfigType = remoting.EventTypeDel
	case w.heard == "":
		event.ConfigType = remoting.EventTypeAdd
	}
	w.heard = text
	defer func() { // dubbo-go's listener of data-id panics when its text is deleted
		if p := recover(); p != nil {
			logger.Errorf("[graylane] etcd: a listener of %s failed: %v", w.key, p)
		}
	}()
	w.listener.Process(event)
}
