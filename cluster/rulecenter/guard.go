// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/config_center/parser"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	gxset "github.com/dubbogo/gost/container/set"
)

// errDown is what a config centre answers that was down at the start and has not
// come yet.
var errDown = errors.New("rulecenter: the config centre was down at the start and is not there yet")

// guard stands before dubbo-go's config centre, for everything that dubbo-go reads
// there itself (condition rules, overrides).
//
// It gives dubbo-go's one listener per text, whatever the number of references:
// ZooKeeper's keeps them in a plain map that it writes and walks without a lock,
// and eight references to one application end the process. And it is there while
// the centre is not: listeners wait, and are told when it comes.
type guard struct {
	adding sync.Mutex // one AddListener of the centre at a time; it may take seconds

	mu    sync.Mutex
	inner config_center.DynamicConfiguration // nil while it is down
	fans  map[fanKey]*fan
}

var _ config_center.DynamicConfiguration = (*guard)(nil)

type fanKey struct{ group, key string }

func newGuard(inner config_center.DynamicConfiguration) *guard {
	return &guard{inner: inner, fans: make(map[fanKey]*fan)}
}

// connect takes the centre when it is there: whoever waits is told what it has.
func (g *guard) connect(inner config_center.DynamicConfiguration) {
	g.mu.Lock()
	g.inner = inner
	fans := maps.Clone(g.fans)
	g.mu.Unlock()
	for k, f := range fans {
		g.listen(inner, k.key, f)
		if text, err := inner.GetRule(k.key, f.opts...); err == nil && text != "" {
			f.Process(&config_center.ConfigChangeEvent{Key: k.key, Value: text, ConfigType: remoting.EventTypeAdd})
		}
	}
}

func (g *guard) listen(inner config_center.DynamicConfiguration, key string, f *fan) {
	g.adding.Lock()
	defer g.adding.Unlock()
	inner.AddListener(key, f, f.opts...)
}

func (g *guard) now() (config_center.DynamicConfiguration, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inner == nil {
		return nil, errDown
	}
	return g.inner, nil
}

// AddListener implements dubbo-go's DynamicConfiguration; one call at a time.
func (g *guard) AddListener(key string, l config_center.ConfigurationListener, opts ...config_center.Option) {
	k := fanKey{config_center.NewOptions(opts...).Center.Group, key}
	g.mu.Lock()
	f, inner := g.fans[k], g.inner
	first := f == nil
	if first {
		f = &fan{opts: opts}
		g.fans[k] = f
	}
	g.mu.Unlock()
	f.add(l)
	if first && inner != nil {
		g.listen(inner, key, f)
	}
}

// RemoveListener implements dubbo-go's DynamicConfiguration.
func (g *guard) RemoveListener(key string, l config_center.ConfigurationListener, opts ...config_center.Option) {
	g.mu.Lock()
	f := g.fans[fanKey{config_center.NewOptions(opts...).Center.Group, key}]
	g.mu.Unlock()
	if f != nil {
		f.remove(l)
	}
}

// Parser returns the parser of override rules, also while the centre is down.
func (g *guard) Parser() parser.ConfigurationParser {
	if inner, err := g.now(); err == nil {
		return inner.Parser()
	}
	return &parser.DefaultConfigurationParser{}
}

// SetParser does nothing while the centre is down.
func (g *guard) SetParser(p parser.ConfigurationParser) {
	if inner, err := g.now(); err == nil {
		inner.SetParser(p)
	}
}

// GetProperties implements dubbo-go's DynamicConfiguration.
func (g *guard) GetProperties(key string, opts ...config_center.Option) (string, error) {
	inner, err := g.now()
	if err != nil {
		return "", err
	}
	return inner.GetProperties(key, opts...)
}

// GetRule implements dubbo-go's DynamicConfiguration.
func (g *guard) GetRule(key string, opts ...config_center.Option) (string, error) {
	inner, err := g.now()
	if err != nil {
		return "", err
	}
	return inner.GetRule(key, opts...)
}

// GetInternalProperty implements dubbo-go's DynamicConfiguration.
func (g *guard) GetInternalProperty(key string, opts ...config_center.Option) (string, error) {
	inner, err := g.now()
	if err != nil {
		return "", err
	}
	return inner.GetInternalProperty(key, opts...)
}

// PublishConfig implements dubbo-go's DynamicConfiguration.
func (g *guard) PublishConfig(key, group, text string) error {
	inner, err := g.now()
	if err != nil {
		return err
	}
	return inner.PublishConfig(key, group, text)
}

// RemoveConfig implements dubbo-go's DynamicConfiguration.
func (g *guard) RemoveConfig(key, group string) error {
	inner, err := g.now()
	if err != nil {
		return err
	}
	return inner.RemoveConfig(key, group)
}

// GetConfigKeysByGroup implements dubbo-go's DynamicConfiguration.
func (g *guard) GetConfigKeysByGroup(group string) (*gxset.HashSet, error) {
	inner, err := g.now()
	if err != nil {
		return nil, err
	}
	return inner.GetConfigKeysByGroup(group)
}

// GetURL returns the centre's URL, nil while it is down or has none.
func (g *guard) GetURL() *common.URL {
	inner, err := g.now()
	if err != nil {
		return nil
	}
	return urlOf(inner)
}

// urlOf returns the URL of a config centre that tells it, as dubbo-go's do.
func urlOf(c config_center.DynamicConfiguration) *common.URL {
	if has, ok := c.(interface{ GetURL() *common.URL }); ok {
		return has.GetURL()
	}
	return nil
}

// fan passes the events of one text on to all its listeners.
type fan struct {
	opts []config_center.Option

	mu        sync.Mutex
	listeners []config_center.ConfigurationListener
}

func (f *fan) add(l config_center.ConfigurationListener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.listeners, l) {
		f.listeners = append(f.listeners, l)
	}
}

func (f *fan) remove(l config_center.ConfigurationListener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners = slices.DeleteFunc(f.listeners, func(o config_center.ConfigurationListener) bool { return o == l })
}

// Process implements dubbo-go's ConfigurationListener.
func (f *fan) Process(e *config_center.ConfigChangeEvent) {
	f.mu.Lock()
	listeners := slices.Clone(f.listeners)
	f.mu.Unlock()
	for _, l := range listeners {
		l.Process(e)
	}
}
