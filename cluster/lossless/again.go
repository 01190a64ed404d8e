// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"slices"
	"strconv"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/meta"
)

// again decides whether the call goes to another endpoint, after an outcome that
// is not an answer.
func (i *Invoker) again(c *call, e *endpoint.Endpoint, d *tagrouter.Decision, v verdict, res result.Result) bool {
	retry := conf.Current().Retry
	share := retry.BudgetPercent / 100
	more := c.attempts <= maxReroutes && c.base.Err() == nil
	switch v.outcome {
	case endpoint.Refused:
		stats.refused.Add(1)
		free := c.attempts == 1 && v.refused != tag.RefusedOverloaded
		more = more && c.unary && !c.late() && (free || i.pay(share))
	case endpoint.Failed:
		switch {
		case v.doubt:
			doubt(e.Instance, protocolOf(e), res.Error().Error())
		case v.down:
			eject(e.Instance, protocolOf(e), res.Error().Error())
		}
		more = more && !c.late() && (c.attempts == 1 || i.pay(share))
	default:
		if v.strike {
			strike(e, d)
		}
		if more && c.unary && (!c.option || !c.late()) && c.repeated < i.repeats(c, retry) && i.pay(share) {
			c.repeated++
			stats.retried.Add(1)
			c.restart()
			return true
		}
		stats.unknown.Add(1)
		reportUnknown(i.service, c.inv, e, res.Error())
		return false
	}
	if more {
		c.from = e
	}
	return more
}

func (i *Invoker) pay(share float64) bool {
	if i.budget.spend(share) {
		return true
	}
	stats.budgetExhausted.Add(1)
	return false
}

// retries are what a reference set explicitly, for itself and for its methods.
type retries struct {
	reference int
	set       bool           // the reference set them
	methods   map[string]int // nil if none of them did
}

func newRetries(u *common.URL) retries {
	var r retries
	if u == nil {
		return r
	}
	if n, err := strconv.Atoi(u.GetParam(constant.RetriesKey, "")); err == nil {
		r.reference, r.set = n, true
	}
	meta.EachMethod(u, constant.RetriesKey, func(method, text string) {
		if n, err := strconv.Atoi(text); err == nil {
			if r.methods == nil {
				r.methods = make(map[string]int)
			}
			r.methods[method] = n
		}
	})
	return r
}

// of returns the retries of a call: its own option, else its method's, else the
// reference's; set is false if nobody said anything.
func (r *retries) of(c *call) (n int, set bool) {
	if own, ok := tag.Value(c.inv.Attachments()[constant.RetriesKey]); ok && own != "" {
		if n, err := strconv.Atoi(own); err == nil {
			return n, true
		}
	}
	if n, ok := r.methods[c.inv.MethodName()]; ok {
		return n, true
	}
	return r.reference, r.set
}

// repeats returns how often a call whose outcome is unknown may be sent again: as
// often as its retries say with `unknown: dubbo`, and if its method is listed as
// idempotent; the latter without any retries as often as a call is rerouted.
func (i *Invoker) repeats(c *call, r conf.Retry) int {
	n, set := c.terms.retries.of(c)
	switch {
	case r.Unknown == "dubbo":
		return n
	case r.Unknown != "idempotent" || !slices.Contains(r.Idempotent, i.service+"/"+c.inv.MethodName()):
		return 0
	case set:
		return n
	}
	return maxReroutes
}
