// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common"
	dubboconfig "dubbo.apache.org/dubbo-go/v3/common/config"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/global"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/center/nacos"
)

func init() {
	center.Register(nacos.Name, func(u *common.URL) (center.Source, error) { return nacos.New(u) })
}

// Options say what a config centre that cannot be reached means for the start.
type Options struct {
	Require bool          // it ends the start
	Timeout time.Duration // after so long; above 0
}

// process is what Start made.
var process struct { //nolint:gochecknoglobals // one config centre per process, as in dubbo-go
	once sync.Once
	mu   sync.Mutex
	f    *follower
	seen map[string]*global.RouterConfig // static rules by application
}

// Start follows the config centre that dubbo-go was set up with, if there is one,
// for [tagrouter.Rules]. Call it before the first reference is made. Only the first
// call does anything.
//
// With o.Require it returns an error, one line, if the centre cannot be reached
// within o.Timeout; else it returns at once and a centre that is down is taken when
// it comes.
func Start(o Options) (err error) {
	process.once.Do(func() { err = start(o) })
	return err
}

// Static takes the router section of dubbogo.yml, or what a reference was given
// instead: its tag routers are the rules of applications for which the config
// centre has none. Each fault is in the error. Call it after [Start].
func Static(routers []*global.RouterConfig) error {
	process.mu.Lock()
	defer process.mu.Unlock()
	if process.f == nil {
		return nil
	}
	return process.f.static(process.seen, routers)
}

func start(o Options) error {
	w := find()
	f := newFollower(tagrouter.Rules, w.source, w.name)
	process.mu.Lock()
	process.f, process.seen = f, make(map[string]*global.RouterConfig)
	process.mu.Unlock()
	center.SetCurrent(w.source, w.name) // for those who follow other texts: registry/discovery
	if w.guard != nil {
		dubboconfig.GetEnvInstance().SetDynamicConfiguration(w.guard)
	}
	switch {
	case w.source == nil:
	case o.Require:
		if err := w.require(o.Timeout); err != nil {
			return err
		}
	case w.down:
		logger.Warnf("[graylane] config-center %s was down at the start: its rules apply when it comes%s", w.name, w.lost())
		go w.retry(f.ctx)
	}
	tagrouter.Rules.SetFollower(f.start)
	return nil
}

// found is the config centre of this process.
type found struct {
	source center.Source // nil if there is none
	name   string
	guard  *guard

	url    *common.URL
	down   bool   // dubbo-go could not set it up
	dataID string // where dubbo-go would have read settings

	opening chan error // what dubbo-go's attempt comes to, nil while there is none
}

// find looks where dubbo-go left what it knows. Its config centre tells its URL;
// one that could not be set up is in the options of dubbo.Load. A program that
// starts by dubbo.NewInstance keeps these to itself: there a centre that is down at
// the start is not known to exist.
func find() found {
	inner := dubboconfig.GetEnvInstance().GetDynamicConfiguration()
	var w found
	if inner != nil {
		w.url, w.guard = urlOf(inner), newGuard(inner)
	} else if options := dubbo.GetInstanceOptionsSnapshot(); options != nil && options.ConfigCenter != nil && options.ConfigCenter.Address != "" {
		u, err := urlOfConfig(options.ConfigCenter)
		if err != nil {
			logger.Errorf("[graylane] config-center.address: %v; there are no rules from it", err)
			return w
		}
		w.url, w.guard, w.down, w.dataID = u, newGuard(nil), true, options.ConfigCenter.DataId
	}
	if w.guard == nil {
		return w
	}
	w.name = "the config centre"
	if w.url != nil {
		w.name = w.url.Protocol + " " + w.url.Location
		s, ok, err := center.New(w.url)
		if err != nil {
			logger.Warnf("[graylane] %v: rules are followed by dubbo-go's own listeners", err)
		} else if ok {
			w.source = s
		}
	}
	if w.source == nil {
		w.source = center.Generic(w.guard, w.name)
	}
	return w
}

// urlOfConfig makes the URL that dubbo-go would have made.
func urlOfConfig(c *global.CenterConfig) (*common.URL, error) {
	params := url.Values{}
	params.Set(constant.ConfigNamespaceKey, c.Namespace)
	params.Set(constant.ConfigGroupKey, c.Group)
	params.Set(constant.ConfigClusterKey, c.Cluster)
	params.Set(constant.ConfigAppIDKey, c.AppID)
	params.Set(constant.ConfigTimeoutKey, c.Timeout)
	params.Set(constant.ClientNameKey, strings.Join([]string{constant.ConfigCenterPrefix, c.Protocol, c.Address}, "-"))
	for k, v := range c.Params {
		params.Set(k, v)
	}
	return common.NewURL(c.Address, common.WithProtocol(c.Protocol), common.WithParams(params),
		common.WithUsername(c.Username), common.WithPassword(c.Password))
}

// connect returns nil once the centre answers, and is set up for dubbo-go too; at
// the latest with ctx it returns why not. One call at a time.
func (w *found) connect(ctx context.Context) error {
	if err := w.source.Check(ctx); err != nil || !w.down {
		return err
	}
	return w.open(ctx)
}

// open sets the centre up for dubbo-go; tag rules do not wait for it. dubbo-go's
// attempt takes no context, and its client of ZooKeeper, which is one for each
// address in the whole process, cannot be replaced: it gives up a server that
// accepts and says nothing after 6.7 times config-center.timeout and dials again. So
// an attempt that outlives ctx goes on, and the next call waits for it, rather than
// start one more that would wait for the same client.
func (w *found) open(ctx context.Context) error {
	if w.opening == nil {
		done := make(chan error, 1)
		w.opening = done
		go func() {
			inner, err := open(w.url)
			if err == nil {
				w.guard.connect(inner)
			}
			done <- err
		}()
	}
	select {
	case err := <-w.opening:
		w.opening = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("%s answers, but not dubbo-go's own client yet: %w", w.name, ctx.Err())
	}
}

// require returns nil as soon as the centre answers, or why it does not.
func (w *found) require(timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for n := 0; ; n++ {
		err := w.connect(ctx)
		if err == nil {
			break
		}
		if center.Pause(ctx, n); ctx.Err() != nil {
			return fmt.Errorf("config-center: %w (within register.timeout, %v; register.require: false starts without it)", err, timeout)
		}
	}
	if w.down && w.dataID != "" {
		return fmt.Errorf("config-center: %s came after the settings under data-id %s were to be read: start again (register.require: false starts without them)", w.name, w.dataID)
	}
	return nil
}

// lost says what else is missing when the centre is down at the start.
func (w *found) lost() string {
	if w.dataID == "" {
		return ""
	}
	return "; the settings under data-id " + w.dataID + " are not read before the next start"
}

// retry goes on until the centre is there.
func (w *found) retry(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		try, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := w.connect(try)
		cancel()
		if err == nil {
			logger.Infof("[graylane] config-center %s is there", w.name)
			return
		}
		center.Pause(ctx, n)
	}
}

func open(u *common.URL) (config_center.DynamicConfiguration, error) {
	factory, err := extension.GetConfigCenterFactory(u.Protocol)
	if err != nil {
		return nil, err
	}
	return factory.GetDynamicConfiguration(u.Clone()) // Nacos' writes into it
}
