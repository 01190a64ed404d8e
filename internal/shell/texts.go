// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"path"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/keeper"
)

// Texts reads instances that a registry holds as text. Of each application it remembers
// what was read: a text is decoded once, and one that cannot be read leaves what was
// known under its key, if anything.
type Texts struct {
	name   string
	decode func(text string) (*registry.DefaultServiceInstance, error)

	mu   sync.Mutex
	apps map[string]map[string]content // application -> key
}

// content is what was last read under a key.
type content struct {
	text     string
	instance *registry.DefaultServiceInstance // of the last text that could be read
}

// NewTexts returns a reader of texts; log lines call the registry name.
func NewTexts(name string, decode func(text string) (*registry.DefaultServiceInstance, error)) *Texts {
	return &Texts{name: name, decode: decode, apps: make(map[string]map[string]content)}
}

// Instances reads the whole list of an application, in its order.
func (t *Texts) Instances(application string, list []keeper.Entry) []*registry.DefaultServiceInstance {
	t.mu.Lock()
	defer t.mu.Unlock()
	before, now := t.apps[application], make(map[string]content, len(list))
	out := make([]*registry.DefaultServiceInstance, 0, len(list))
	for _, e := range list {
		c, ok := before[e.Key]
		if !ok || c.text != e.Value {
			i, err := t.decode(e.Value)
			if err != nil {
				logger.Warnf("[graylane] %s: %s of %s: unreadable instance: %v", t.name, path.Base(e.Key), application, err)
				i = c.instance
			}
			c = content{e.Value, i}
		}
		now[e.Key] = c
		if c.instance != nil {
			out = append(out, c.instance)
		}
	}
	t.apps[application] = now
	return out
}
