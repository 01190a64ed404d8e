// SPDX-License-Identifier: Apache-2.0

package routers

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/affinity"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/condition"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/script"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/tag"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/config"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logger.SetLoggerLevel("fatal")
	goleak.VerifyTestMain(m)
}

const service = "com.shop.Order"

// center is a config centre in memory. Reading waits for gate, if there is one.
type center struct {
	config_center.DynamicConfiguration

	mu        sync.Mutex
	texts     map[string]string
	listeners map[string][]config_center.ConfigurationListener
	reads     int
	down      bool
	gate      chan struct{}
}

func (c *center) AddListener(key string, l config_center.ConfigurationListener, _ ...config_center.Option) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[key] = append(c.listeners[key], l)
}

func (c *center) RemoveListener(key string, l config_center.ConfigurationListener, _ ...config_center.Option) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listeners[key] = slices.DeleteFunc(c.listeners[key], func(o config_center.ConfigurationListener) bool { return o == l })
	if len(c.listeners[key]) == 0 {
		delete(c.listeners, key)
	}
}

func (c *center) GetRule(key string, _ ...config_center.Option) (string, error) {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	if gate != nil {
		<-gate
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads++
	if c.down {
		return "", errors.New("down")
	}
	return c.texts[key], nil
}

// put publishes a text, "" deletes it.
func (c *center) put(key, text string) {
	c.mu.Lock()
	event := &config_center.ConfigChangeEvent{Key: key, Value: text, ConfigType: remoting.EventTypeUpdate}
	if text == "" {
		event.ConfigType = remoting.EventTypeDel
		delete(c.texts, key)
	} else {
		c.texts[key] = text
	}
	listeners := slices.Clone(c.listeners[key])
	c.mu.Unlock()
	for _, l := range listeners {
		l.Process(event)
	}
}

func useCenter(t *testing.T) *center {
	t.Helper()
	c := &center{texts: map[string]string{}, listeners: map[string][]config_center.ConfigurationListener{}}
	old := config.GetEnvInstance().GetDynamicConfiguration()
	config.GetEnvInstance().SetDynamicConfiguration(c)
	t.Cleanup(func() { config.GetEnvInstance().SetDynamicConfiguration(old) })
	return c
}

// own is a router of the user's.
type own struct {
	priority int64
	route    func([]base.Invoker) []base.Invoker
	notified chan []base.Invoker
}

func (o *own) URL() *common.URL { return nil }
func (o *own) Priority() int64  { return o.priority }
func (o *own) Notify(list []base.Invoker) {
	if o.notified != nil {
		o.notified <- list
	}
}

func (o *own) Route(list []base.Invoker, _ *common.URL, _ base.Invocation) []base.Invoker {
	return o.route(list)
}

type ownFactory struct{ o *own }

func (f ownFactory) NewPriorityRouter(*common.URL) (router.PriorityRouter, error) {
	if f.o == nil {
		return nil, errors.New("not for this reference")
	}
	return f.o, nil
}

// with registers routers for a test only: extensions cannot be taken back, so
// that those which are over refuse to be made.
func with(t *testing.T, name string, o *own) {
	t.Helper()
	extension.SetRouterFactory(name, func() router.PriorityRouterFactory { return ownFactory{o} })
	t.Cleanup(func() {
		extension.SetRouterFactory(name, func() router.PriorityRouterFactory { return ownFactory{} })
	})
}

func reference(configs ...*global.RouterConfig) *common.URL {
	u := common.NewURLWithOptions(common.WithProtocol("nacos"), common.WithIp("registry"), common.WithPort("1"))
	u.SubURL = common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithAttribute(constant.RoutersConfigKey, configs))
	return u
}

// invokers are providers in the regions named.
func invokers(regions ...string) []base.Invoker {
	var list []base.Invoker
	for n, region := range regions {
		list = append(list, base.NewBaseInvoker(common.NewURLWithOptions(common.WithProtocol("tri"), common.WithIp(fmt.Sprintf("10.0.0.%d", n+1)),
			common.WithPort("20000"), common.WithPath(service), common.WithInterface(service),
			common.WithParamsValue(constant.ApplicationKey, "order"), common.WithParamsValue("region", region))))
	}
	return list
}

func regions(list []base.Invoker) (out []string) {
	for _, i := range list {
		out = append(out, i.GetURL().GetParam("region", ""))
	}
	return out
}

func call() *invocation.RPCInvocation {
	return invocation.NewRPCInvocation("Get", nil, map[string]any{})
}

// Set is what a source does that publishes the list.
func (c *Chain) Set(list []base.Invoker) { c.ask(func() []base.Invoker { return list }) }

// chain runs f with the chain of a reference, all of dubbo-go's routers imported.
func chain(t *testing.T, u *common.URL, f func(c *Chain)) {
	t.Helper()
	c := New(u, constant.TagRouterFactoryKey)
	if c == nil {
		t.Fatal("no chain")
	}
	defer c.Close()
	f(c)
}
