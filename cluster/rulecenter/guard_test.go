// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/config_center/parser"
	gxset "github.com/dubbogo/gost/container/set"
)

// unsafeCentre is a config centre that, like dubbo-go's on ZooKeeper, keeps
// listeners in a plain map: with -race, two calls at a time fail the test.
type unsafeCentre struct {
	listeners map[string]map[config_center.ConfigurationListener]struct{}
	adds      int
	text      string
}

func (c *unsafeCentre) AddListener(key string, l config_center.ConfigurationListener, _ ...config_center.Option) {
	c.adds++
	if c.listeners[key] == nil {
		c.listeners[key] = map[config_center.ConfigurationListener]struct{}{}
	}
	c.listeners[key][l] = struct{}{}
}

func (c *unsafeCentre) fire(key, text string) {
	for l := range c.listeners[key] {
		l.Process(&config_center.ConfigChangeEvent{Key: key, Value: text})
	}
}

func (c *unsafeCentre) RemoveListener(string, config_center.ConfigurationListener, ...config_center.Option) {
}

func (c *unsafeCentre) GetProperties(string, ...config_center.Option) (string, error) {
	return c.text, nil
}
func (c *unsafeCentre) GetRule(string, ...config_center.Option) (string, error) { return c.text, nil }
func (c *unsafeCentre) GetInternalProperty(string, ...config_center.Option) (string, error) {
	return c.text, nil
}
func (c *unsafeCentre) PublishConfig(string, string, string) error { return nil }
func (c *unsafeCentre) RemoveConfig(string, string) error          { return nil }
func (c *unsafeCentre) GetConfigKeysByGroup(string) (*gxset.HashSet, error) {
	return gxset.NewSet(), nil
}
func (c *unsafeCentre) Parser() parser.ConfigurationParser   { return nil }
func (c *unsafeCentre) SetParser(parser.ConfigurationParser) {}
func (c *unsafeCentre) GetURL() *common.URL                  { return nil }

// heard counts what a listener was told.
type heard struct {
	mu   sync.Mutex
	last string
	n    int
}

func (h *heard) Process(e *config_center.ConfigChangeEvent) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.n++
	h.last, _ = e.Value.(string)
}

func newUnsafe() *unsafeCentre {
	return &unsafeCentre{listeners: make(map[string]map[config_center.ConfigurationListener]struct{})}
}

// TestGuardSerialises: any number of references to one application are one listener
// of the centre, and calls for different ones come one at a time.
func TestGuardSerialises(t *testing.T) {
	inner := newUnsafe()
	g := newGuard(inner)
	var wg sync.WaitGroup
	for n := range 16 {
		for range 8 {
			wg.Go(func() { g.AddListener(fmt.Sprintf("app%d.condition-router", n), &heard{}) })
		}
	}
	wg.Wait()
	if inner.adds != 16 {
		t.Errorf("%d listeners in the centre, want one for each of 16 texts", inner.adds)
	}
}

func TestGuardFan(t *testing.T) {
	inner := newUnsafe()
	g := newGuard(inner)
	one, two := &heard{}, &heard{}
	g.AddListener("k", one)
	g.AddListener("k", one)
	g.AddListener("k", two)
	inner.fire("k", "a")
	g.RemoveListener("k", one)
	g.RemoveListener("other", one)
	inner.fire("k", "b")
	if one.n != 1 || one.last != "a" || two.n != 2 || two.last != "b" {
		t.Errorf("told %d (%s) and %d (%s) times, want 1 (a) and 2 (b)", one.n, one.last, two.n, two.last)
	}
}

// TestGuardDown: while the centre is down reads fail, listeners wait; when it comes
// they are told what it has and what changes.
func TestGuardDown(t *testing.T) {
	g := newGuard(nil)
	l := &heard{}
	g.AddListener("k", l)
	for name, err := range map[string]error{
		"GetRule":              second(g.GetRule("k")),
		"GetProperties":        second(g.GetProperties("k")),
		"GetInternalProperty":  second(g.GetInternalProperty("k")),
		"GetConfigKeysByGroup": second(g.GetConfigKeysByGroup("dubbo")),
		"PublishConfig":        g.PublishConfig("k", "dubbo", "v"),
		"RemoveConfig":         g.RemoveConfig("k", "dubbo"),
	} {
		if !errors.Is(err, errDown) {
			t.Errorf("%s while the centre is down: %v, want %v", name, err, errDown)
		}
	}
	if g.Parser() == nil || g.GetURL() != nil {
		t.Error("while the centre is down there is no parser, or there is a URL")
	}
	g.SetParser(nil)
	inner := newUnsafe()
	inner.text = "first"
	g.connect(inner)
	if l.n != 1 || l.last != "first" {
		t.Errorf("told %d times, last %q; want once, first", l.n, l.last)
	}
	inner.fire("k", "second")
	if l.last != "second" {
		t.Errorf("last %q, want second", l.last)
	}
	if got, err := g.GetRule("k"); err != nil || got != "first" {
		t.Errorf("GetRule: %q, %v", got, err)
	}
}

func second[T any](_ T, err error) error { return err }
