// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"errors"
	"reflect"

	"dubbo.apache.org/dubbo-go/v3/global"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/tagrouter"
)

// static takes the tag routers of a reference: of several for one application the
// one with the highest priority, else the last, as in dubbo-go. Rules are of the
// process: a second reference that says something else of an application is told
// so and not heard. The faults of all of them, also of those that are not in force,
// are in the error.
func (f *follower) static(seen map[string]*global.RouterConfig, routers []*global.RouterConfig) error {
	type choice struct {
		from *global.RouterConfig
		rule *tagrouter.Rule
	}
	best := make(map[string]choice)
	var errs []error
	for _, r := range routers {
		if !tagged(r) {
			continue
		}
		rule, err := tagrouter.StaticRule(r)
		if err != nil {
			counters.bad.Add(1)
			errs = append(errs, err)
			continue
		}
		if old := best[r.Key].from; old == nil || r.Priority >= old.Priority {
			best[r.Key] = choice{from: r, rule: rule}
		}
	}
	for app, c := range best {
		if first := seen[app]; first != nil {
			if !reflect.DeepEqual(first, c.from.Clone()) {
				logger.Warnf("[graylane] rule of %s: references have different ones in their routers, the first stays", app)
			}
			continue
		}
		seen[app] = c.from.Clone()
		counters.good.Add(1)
		f.application(app).setStatic(c.rule)
	}
	return errors.Join(errs...)
}

// tagged reports a tag router that is in use. A scope or key that dubbo-go would
// pass over without a word is for [tagrouter.StaticRule] to judge.
func tagged(r *global.RouterConfig) bool {
	return r != nil && len(r.Tags) > 0 && (r.Enabled == nil || *r.Enabled) && (r.Valid == nil || *r.Valid)
}
