// SPDX-License-Identifier: Apache-2.0

package routers

import (
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"
)

// askAgain is the pause before a config centre that did not answer is asked again;
// it doubles up to askAgainMax.
const (
	askAgain    = 5 * time.Second
	askAgainMax = 5 * time.Minute
)

// builtin tells how one of dubbo-go's routers names its rules. Each is told of
// them by Process, which it exports; its own Notify, which asks the config centre
// for every list, is never called.
type builtin struct {
	suffix string
	scope  string // of the static rules that it takes, "" for none
	keys   func(c *Chain, list []base.Invoker) []string
}

const routersPath = "dubbo.apache.org/dubbo-go/v3/cluster/router/"

// builtins are dubbo-go's routers by type, not by name: a router of the user's
// under a name of dubbo-go's is the user's.
var builtins = map[string]builtin{ //nolint:gochecknoglobals // a constant
	routersPath + "condition.ServiceRouter":           {constant.ConditionRouterRuleSuffix, constant.RouterScopeService, ofService},
	routersPath + "condition.ApplicationRouter":       {constant.ConditionRouterRuleSuffix, constant.RouterScopeApplication, ofConsumer},
	routersPath + "affinity.ServiceAffinityRoute":     {constant.AffinityRuleSuffix, "", ofService},
	routersPath + "affinity.ApplicationAffinityRoute": {constant.AffinityRuleSuffix, "", ofBoth},
	routersPath + "script.ScriptRouter":               {constant.ScriptRouterRuleSuffix, "", ofProvider},
}

// ofService is `interface:version:group`, as the first endpoint has them.
func ofService(c *Chain, list []base.Invoker) []string {
	for _, i := range list {
		if u := i.GetURL(); u != nil {
			return []string{u.ColonSeparatedKey()}
		}
	}
	return []string{c.asks.ColonSeparatedKey()}
}

func ofConsumer(c *Chain, _ []base.Invoker) []string {
	return []string{c.asks.GetParam(constant.ApplicationKey, "")}
}

func ofProvider(_ *Chain, list []base.Invoker) []string {
	for _, i := range list {
		if u := i.GetURL(); u != nil {
			return []string{u.GetParam(constant.ApplicationKey, "")}
		}
	}
	return nil
}

func ofBoth(c *Chain, list []base.Invoker) []string {
	return append(ofProvider(c, list), ofConsumer(c, list)...)
}

// rules is what the config centre and dubbogo.yml say for one of dubbo-go's routers.
// Its plain fields belong to the chain's goroutine.
type rules struct {
	c       *Chain
	builtin builtin
	router  config_center.ConfigurationListener
	ruled   atomic.Bool // there is a rule

	followed map[string]*ear
}

// ear listens for one rule. It only notes that there is news and has the text read
// again: events may come in any order.
type ear struct {
	c           *Chain
	news, ended atomic.Bool
	text        string // as last read
}

// Process implements dubbo-go's ConfigurationListener.
func (e *ear) Process(event *config_center.ConfigChangeEvent) {
	e.ended.Store(event.ConfigType == remoting.EventTypeDel) // what is gone need not be readable
	e.news.Store(true)
	e.c.poke()
}

// rulesOf returns the rules of a router of dubbo-go's, nil for one that always runs.
func (c *Chain) rulesOf(name string, r router.PriorityRouter) *rules {
	t := reflect.TypeOf(r)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	b, known := builtins[t.PkgPath()+"."+t.Name()]
	if !known {
		if passive, ok := passives.Load(name); !ok || !passive.(func() bool)() { //nolint:errcheck // nothing else is stored
			return nil
		}
		return &rules{c: c, builtin: builtin{keys: func(*Chain, []base.Invoker) []string { return nil }}} // never ruled
	}
	taught, ok := r.(config_center.ConfigurationListener)
	if !ok {
		return nil
	}
	return &rules{c: c, builtin: b, router: taught, followed: make(map[string]*ear)}
}

// passives are the routers that say for themselves that they do nothing.
var passives sync.Map //nolint:gochecknoglobals // filled by the packages that import them

// Passive says of the router registered under name that it does nothing where
// passive returns true when a reference is made: it is left out there.
func Passive(name string, passive func() bool) { passives.Store(name, passive) }

// keys are those of the rules that hold for a list.
func (r *rules) keys(list []base.Invoker) []string {
	var keys []string
	for _, k := range r.builtin.keys(r.c, list) {
		if k != "" {
			keys = append(keys, k+r.builtin.suffix)
		}
	}
	return keys
}

// follow listens for the rules of these keys and no longer for others, and reads
// those with news. It returns false if there was something that it could not read.
func (r *rules) follow(keys []string) (complete bool) {
	center := r.c.center
	if center == nil {
		return true
	}
	complete = true
	for _, key := range keys {
		e := r.followed[key]
		if e == nil {
			e = &ear{c: r.c}
			e.news.Store(true)
			r.followed[key] = e
			center.AddListener(key, e)
		}
		if !e.news.Swap(false) {
			continue
		}
		text := ""
		if !e.ended.Swap(false) {
			var err error
			if text, err = center.GetRule(key); err != nil {
				logger.Debugf("[graylane] rule %s: %v", key, err)
				e.news.Store(true)
				complete = false
				continue
			}
		}
		r.take(e, key, text)
	}
	for key, e := range r.followed {
		if !slices.Contains(keys, key) {
			delete(r.followed, key)
			center.RemoveListener(key, e)
			r.take(e, key, "")
		}
	}
	return complete
}

// take hands a text to the router, if it is another than before. A static rule
// stays until there is a text.
func (r *rules) take(e *ear, key, text string) {
	if text = strings.TrimSpace(text); text == e.text {
		return
	}
	e.text = text
	event := &config_center.ConfigChangeEvent{Key: key, Value: text, ConfigType: remoting.EventTypeUpdate}
	if text == "" {
		event.ConfigType = remoting.EventTypeDel
	}
	if text == "" {
		r.ruled.Store(false)
		r.c.arrange() // first, for a router without rule may have anything in it
	}
	tell(r.router, event)
	if text != "" {
		r.ruled.Store(true)
		r.c.arrange()
	}
}

// tell survives the panics of dubbo-go's parsers, which take keys for given.
func tell(l config_center.ConfigurationListener, event *config_center.ConfigChangeEvent) {
	defer func() {
		if r := recover(); r != nil {
			logger.Errorf("[graylane] rule %s: %v", event.Key, r)
		}
	}()
	l.Process(event)
}

// setStatic hands the `routers:` of dubbogo.yml to the routers that take them.
func (c *Chain) setStatic(ref *common.URL) {
	raw, ok := c.url.GetAttribute(constant.RoutersConfigKey)
	if !ok {
		raw, _ = ref.GetAttribute(constant.RoutersConfigKey)
	}
	configs, _ := raw.([]*global.RouterConfig)
	for _, rc := range configs {
		if rc == nil || rc.Enabled != nil && !*rc.Enabled || rc.Valid != nil && !*rc.Valid {
			continue
		}
		for _, m := range c.members {
			setter, ok := m.router.(router.StaticConfigSetter)
			if !ok {
				continue
			}
			if m.rules == nil {
				setter.SetStaticConfig(rc.Clone())
				continue
			}
			if m.rules.builtin.scope == "" || rc.Scope != m.rules.builtin.scope || len(rc.Conditions) == 0 || !c.means(rc, ref) {
				continue
			}
			setter.SetStaticConfig(rc.Clone())
			m.rules.ruled.Store(true)
		}
	}
}

// means reports that a rule's key names the reference: dubbo-go gives a static
// service rule to every reference.
func (c *Chain) means(rc *global.RouterConfig, ref *common.URL) bool {
	if rc.Scope != constant.RouterScopeService || rc.Key == "" {
		return true
	}
	return rc.Key == ref.Service() || rc.Key == ref.ServiceKey() || rc.Key == ref.ColonSeparatedKey()
}
