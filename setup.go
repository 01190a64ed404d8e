// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	dubboconfig "dubbo.apache.org/dubbo-go/v3/common/config"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/cluster/rulecenter"
	_ "github.com/graylane/graylane/cluster/tagrouter" // replaces the router `tag`
	_ "github.com/graylane/graylane/filter/overload"   // what limits reject is refused
	"github.com/graylane/graylane/filter/propagate"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/fatal"
	"github.com/graylane/graylane/internal/lateanswer"
	"github.com/graylane/graylane/internal/line"
	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/loadbalance/warmup"
	"github.com/graylane/graylane/registry/lifecycle"
)

const name = "graylane"

// init takes the places that dubbo-go asks for before any setting is known: the
// protocols `registry` and `dubbo`, the post-processor, and its own once-only shutdown set-up,
// which would otherwise install a second signal handler.
func init() {
	if Mode(os.Getenv(EnvMode)) == Off {
		c := conf.Default()
		c.Mode = Off
		conf.Set(c)
		return
	}
	lifecycle.InitShutdown()
	extension.SetProtocol(constant.RegistryProtocol, func() base.Protocol { return theProtocol })
	extension.SetProtocol(constant.DubboProtocol, line.Protocol)
	extension.SetConfigPostProcessor(name, processor{})
}

var die = fatal.Exit //nolint:gochecknoglobals // replaced by tests only

var setup sync.Once //nolint:gochecknoglobals // settings are read once a process

// start reads the settings at the first service or reference, the first moment
// at which dubbo-go has them.
func start(u *common.URL) {
	setup.Do(func() {
		c, err := load()
		if err != nil {
			die(err)
			return
		}
		user, _ := attribute[*global.ShutdownConfig](u, constant.ShutdownConfigPrefix)
		if c.Mode == Off {
			lifecycle.UseDubboShutdown(user)
		} else {
			lifecycle.MapUserShutdown(user, &c)
		}
		conf.Set(c)
		if user == nil || user.InternalSignal == nil || *user.InternalSignal {
			lifecycle.InstallSignals()
		}
		if c.Mode == Enforce {
			lateanswer.Install(constant.DubboProtocol)
		}
		if c.Mode != Off {
			lifecycle.OnStopped(func() { lossless.PrintLedger(applicationName(u)) })
			if err := rulecenter.Start(rulecenter.Options{Require: c.Register.Require, Timeout: c.Register.Timeout}); err != nil {
				die(err)
			}
		}
		logger.Info(summary(c))
	})
}

// summary is the start-up line: what is active, and what differs from plain dubbo-go.
func summary(c Config) string {
	switch c.Mode {
	case Off:
		return "[graylane] off: dubbo-go's own parts do everything"
	case Observe:
		return "[graylane] observe: registration and drain are Graylane's, calls go as dubbo-go sends them, differences are counted"
	}
	retried := "calls of unknown outcome are not retried (dubbo-go: up to 2 times)"
	switch {
	case c.Retry.Unknown == "dubbo":
		retried = "calls of unknown outcome are retried where retries are set"
	case c.Retry.Unknown == "idempotent" && len(c.Retry.Idempotent) > 0:
		retried = fmt.Sprintf("calls of unknown outcome are retried for %d idempotent methods only", len(c.Retry.Idempotent))
	}
	untagged := "by the baseline only"
	if c.Routing.UntaggedFallback == "any" {
		untagged = "by the baseline, without one by tagged instances"
	}
	return fmt.Sprintf("[graylane] enforce: cluster %s, tags fall back down to the baseline, calls without tag are served %s, warm-up %v (%s, from %v %%), stop within %v; %s",
		lossless.Name, untagged, c.Warmup.Window, c.Warmup.Curve, c.Warmup.MinPercent, c.Shutdown.Timeout, retried)
}

// processor names our cluster and filters in the URLs of services and references.
type processor struct{}

// PostProcessReferenceConfig implements dubbo-go's ConfigPostProcessor.
func (processor) PostProcessReferenceConfig(u *common.URL) {
	start(u)
	c := conf.Current()
	if c.Mode == Off {
		return
	}
	routers, _ := attribute[[]*global.RouterConfig](u, constant.RoutersConfigKey)
	if err := rulecenter.Static(routers); err != nil {
		die(err)
	}
	drop := []string{constant.GracefulShutdownConsumerFilterKey}
	if c.Mode == Observe {
		drop = nil
	}
	setFilters(u, constant.ReferenceFilterKey, constant.DefaultReferenceFilters, drop, nil)
	if c.Mode == Enforce {
		setTimeout(u)
	}
	checkBalancers(u)
	checkTags(u)
	noteCheck(u)
	cluster := u.GetParam(constant.ClusterKey, "")
	if cluster != "" && cluster != constant.ClusterKeyFailover {
		if _, err := extension.GetCluster(cluster); err != nil { // its text names another one
			die(fmt.Errorf("%s of %s: unknown cluster %q: is its package imported?", constant.ClusterKey, u.Interface(), cluster))
			return
		}
	}
	switch {
	case c.Mode == Observe:
		u.SetParam(lossless.ObservedCluster, cluster)
		u.SetParam(constant.ClusterKey, lossless.ObserverName)
	case cluster == "" || cluster == constant.ClusterKeyFailover:
		u.SetParam(constant.ClusterKey, lossless.Name)
	case cluster != lossless.Name && u.GetParam(constant.LoadbalanceKey, "") == "":
		lb := warmup.Name
		if cluster == constant.ClusterKeyAdaptiveService { // which refuses all others
			lb = constant.LoadBalanceKeyP2C
		}
		u.SetParam(constant.LoadbalanceKey, lb)
	}
}

// PostProcessServiceConfig implements dubbo-go's ConfigPostProcessor.
func (processor) PostProcessServiceConfig(u *common.URL) {
	start(u)
	if conf.Current().Mode == Off {
		return
	}
	drop := []string{constant.GracefulShutdownProviderFilterKey}
	if internalService(u) {
		setFilters(u, constant.ServiceFilterKey, constant.DefaultServiceFilters, drop, []string{shutdown.WatchName})
		return
	}
	setFilters(u, constant.ServiceFilterKey, constant.DefaultServiceFilters, drop, []string{shutdown.Name, propagate.Name})
	lifecycle.DecorateService(u, u.GetParam(constant.ApplicationTagKey, ""))
}

// internalService reports dubbo-go's own services. A health Watch lives as long
// as its caller: counted, it would make every drain hang.
func internalService(u *common.URL) bool {
	s := u.Interface()
	return strings.HasPrefix(s, "grpc.health.") || strings.HasPrefix(s, "grpc.reflection.") || strings.HasPrefix(s, "org.apache.dubbo.metadata.")
}

// setFilters edits a filter list: first stands outermost, drop is replaced by
// ours, names of dubbo-go's default list that nobody imported are left out (a
// nil panic at the first call), and any other unknown name ends the start.
func setFilters(u *common.URL, key, defaults string, drop, first []string) {
	known := strings.Split(defaults, ",")
	list := slices.Clone(first)
	for f := range strings.SplitSeq(u.GetParam(key, ""), ",") {
		f = strings.TrimSpace(f)
		if f == "" || slices.Contains(drop, f) || slices.Contains(list, f) {
			continue
		}
		if _, ok := extension.GetFilter(f); !ok {
			if !slices.Contains(known, f) {
				die(fmt.Errorf("%s of %s: unknown filter %q: is its package imported?", key, u.Interface(), f))
			}
			continue
		}
		list = append(list, f)
	}
	u.SetParam(key, strings.Join(list, ","))
}

// checkBalancers ends the start where a balancer is named that nobody has registered:
// dubbo-go panics at the first call.
func checkBalancers(u *common.URL) {
	known := extension.GetAllLoadbalanceNames()
	check := func(key, name string) {
		if name != "" && !slices.Contains(known, name) {
			slices.Sort(known)
			die(fmt.Errorf("%s of %s: unknown balancer %q, want one of %s: is its package imported?", key, u.Interface(), name, strings.Join(known, ", ")))
		}
	}
	check(constant.LoadbalanceKey, u.GetParam(constant.LoadbalanceKey, ""))
	meta.EachMethod(u, constant.LoadbalanceKey, func(method, name string) {
		check(meta.MethodKey(method, constant.LoadbalanceKey), name)
	})
}

// checkTags ends the start where the tag of the process or of a reference is none: every
// call would go without it.
func checkTags(u *common.URL) {
	for _, t := range [...]struct{ key, value string }{
		{EnvTag, os.Getenv(EnvTag)},
		{constant.Tagkey + " of the reference to " + u.Interface(), u.GetParam(constant.Tagkey, "")},
	} {
		if t.value == "" {
			continue
		}
		if _, err := tag.Parse(t.value); err != nil {
			die(fmt.Errorf("%s: got %q: %w", t.key, t.value, err))
		}
	}
}

func attribute[T any](u *common.URL, key string) (v T, ok bool) {
	if raw, found := u.GetAttribute(key); found {
		v, ok = raw.(T)
	}
	return v, ok
}

func applicationName(u *common.URL) string { return u.GetParam(constant.ApplicationKey, "") }

var _ dubboconfig.ConfigPostProcessor = processor{}
