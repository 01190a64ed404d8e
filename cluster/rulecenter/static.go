// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"errors"
	"reflect"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/tagrouter"
)

// static takes the tag routers of a reference: of several for one application the
// one with the highest priority, else the last, as in dubbo-go. Rules are of the
// process: a second reference that says something else of an application is told
// so and not heard.
func (f *follower) static(seen map[string]*global.RouterConfig, routers []*global.RouterConfig) error {
	best := make(map[string]*global.RouterConfig)
	for _, r := range routers {
		if tagged(r) && (best[r.Key] == nil || r.Priority >= best[r.Key].Priority) {
			best[r.Key] = r
		}
	}
	var errs []error
	for app, r := range best {
		if first := seen[app]; first != nil {
			if !reflect.DeepEqual(first, r.Clone()) {
				logger.Warnf("[graylane] rule of %s: references have different ones in their routers, the first stays", app)
			}
			continue
		}
		rule, err := tagrouter.StaticRule(r)
		if err != nil {
			counters.bad.Add(1)
			errs = append(errs, err)
			continue
		}
		seen[app] = r.Clone()
		counters.good.Add(1)
		f.application(app).setStatic(rule)
	}
	return errors.Join(errs...)
}

// tagged reports a tag router that dubbo-go would use.
func tagged(r *global.RouterConfig) bool {
	return r != nil && r.Scope == constant.RouterScopeApplication && r.Key != "" && len(r.Tags) > 0 &&
		(r.Enabled == nil || *r.Enabled) && (r.Valid == nil || *r.Valid)
}
