// SPDX-License-Identifier: Apache-2.0

package routers

import (
	"cmp"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/config"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"github.com/dubbogo/gost/log/logger"
)

// firstRules is how long [Chain.Follow] waits for the config centre the first time,
// so that the first call finds the rules. Later lists wait for nothing.
const firstRules = 3 * time.Second

// Chain is the routers of one reference.
type Chain struct {
	url     *common.URL // of the registry; its SubURL is the reference
	asks    *common.URL // the consumer's URL as dubbo-go shows it to routers
	members []*member   // by priority
	// center is read once: dubbo-go guards it by nothing. One that is down at the
	// start is there nevertheless, see cluster/rulecenter.
	center config_center.DynamicConfiguration

	running atomic.Pointer[[]router.PriorityRouter] // nil: none has anything to say
	list    atomic.Pointer[func() []base.Invoker]   // returns the newest
	dirty   chan struct{}
	heard   chan struct{} // closed when the routers know of a first list and its rules
	done    chan struct{}
	once    sync.Once

	mu sync.Mutex // serialises arrange
}

// member is a router and, for one of dubbo-go's, its rules.
type member struct {
	name   string
	router router.PriorityRouter
	rules  *rules // nil: it always runs
}

// New makes the chain of a reference, of all routers but the one named skip ("" for
// none). u is the registry's URL with the reference as its SubURL, or the
// reference's own. It returns nil if there are no routers. End it with Close.
func New(u *common.URL, skip string) *Chain {
	own := u.Clone() // dubbo-go writes into it
	own.SubURL = u.SubURL
	ref := u
	if u.SubURL != nil {
		ref = u.SubURL
		own.CompareAndSwapParam(constant.ApplicationKey, "", ref.GetParam(constant.ApplicationKey, ""))
	}
	c := &Chain{
		url: own, asks: consumer(ref), center: config.GetEnvInstance().GetDynamicConfiguration(),
		dirty: make(chan struct{}, 1), heard: make(chan struct{}), done: make(chan struct{}),
	}
	for name, factory := range extension.GetRouterFactories() {
		if name == skip {
			continue
		}
		r, err := factory().NewPriorityRouter(own)
		if err != nil {
			logger.Errorf("[graylane] router %s of %s: %v", name, ref.Service(), err)
			continue
		}
		if r == nil || reflect.ValueOf(r).Kind() == reflect.Pointer && reflect.ValueOf(r).IsNil() {
			continue
		}
		c.members = append(c.members, &member{name: name, router: r, rules: c.rulesOf(name, r)})
	}
	if len(c.members) == 0 {
		return nil
	}
	slices.SortFunc(c.members, func(a, b *member) int {
		return cmp.Or(cmp.Compare(a.router.Priority(), b.router.Priority()), cmp.Compare(a.name, b.name))
	})
	c.setStatic(ref)
	c.arrange()
	go c.follow()
	return c
}

// consumer is the URL that dubbo-go's directory hands to routers: conditions of
// the caller's side are matched against it.
func consumer(ref *common.URL) *common.URL {
	u := common.NewURLWithOptions(common.WithProtocol("consumer"), common.WithIp(common.GetLocalIp()), common.WithPath(ref.Path))
	ref.RangeParams(func(key, value string) bool {
		u.SetParam(key, value)
		return true
	})
	u.SetParam("pid", strconv.Itoa(os.Getpid()))
	u.SetParam("ip", u.Ip)
	u.SetParam("protocol", ref.Protocol)
	return u
}

// Active reports whether any router would run.
func (c *Chain) Active() bool { return c.running.Load() != nil }

// Route returns what the routers leave of the list, which it does not change; the
// list itself if no router has anything to say.
func (c *Chain) Route(list []base.Invoker, inv base.Invocation) []base.Invoker {
	running := c.running.Load()
	if running == nil {
		return list
	}
	left := slices.Clone(list) // routers may filter in place
	for _, r := range *running {
		inv.SetAttribute(constant.RouterCacheDisable, true) // there is no cache of dubbo-go's
		left = r.Route(left, c.asks, inv)
	}
	return left
}

// Follow tells the routers, in the background, which invokers list returns, now and
// whenever the func that watch got is called, until stop. It waits until they know
// the first ones, for at most 3 s; that func waits for nothing.
func (c *Chain) Follow(list func() []base.Invoker, watch func(fn func()) (cancel func())) (stop func()) {
	stop = watch(c.poke) // first, so that no change falls between
	c.ask(list)
	return stop
}

func (c *Chain) ask(list func() []base.Invoker) {
	first := c.list.Swap(&list) == nil
	c.poke()
	if !first {
		return
	}
	wait := time.NewTimer(firstRules)
	defer wait.Stop()
	select {
	case <-c.heard:
	case <-wait.C:
		logger.Warnf("[graylane] %s: the routers' rules are not there after %v; calls go on without", c.asks.Service(), firstRules)
	}
}

func (c *Chain) poke() {
	select {
	case c.dirty <- struct{}{}:
	default:
	}
}

// follow is the goroutine on which routers hear of lists and rules.
func (c *Chain) follow() {
	later := time.AfterFunc(time.Hour, c.poke)
	defer later.Stop()
	var once sync.Once
	pause := askAgain
	for {
		select {
		case <-c.dirty:
		case <-c.done:
			for _, m := range c.members {
				if m.rules != nil {
					m.rules.follow(nil)
				}
			}
			return
		}
		p := c.list.Load()
		if p == nil {
			continue
		}
		list, complete := (*p)(), true
		for _, m := range c.members {
			if m.rules != nil {
				complete = m.rules.follow(m.rules.keys(list)) && complete
			} else {
				m.router.Notify(list)
			}
		}
		if complete {
			pause = askAgain
		} else {
			later.Reset(pause)
			pause = min(2*pause, askAgainMax)
		}
		once.Do(func() { close(c.heard) })
	}
}

// arrange works out which routers run.
func (c *Chain) arrange() {
	c.mu.Lock()
	defer c.mu.Unlock()
	var running []router.PriorityRouter
	for _, m := range c.members {
		if m.rules == nil || m.rules.ruled.Load() {
			running = append(running, m.router)
		}
	}
	if len(running) == 0 {
		c.running.Store(nil)
	} else {
		c.running.Store(&running)
	}
}

// Close ends the following of rules.
func (c *Chain) Close() { c.once.Do(func() { close(c.done) }) }
