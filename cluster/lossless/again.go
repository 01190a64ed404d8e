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
	more := c.base.Err() == nil
	switch v.outcome {
	case endpoint.Refused:
		stats.refused.Add(1)
		more = more && c.unary && !c.late() && i.reroutes(c, e, d, v.refused != tag.RefusedOverloaded)
	case endpoint.Failed:
		switch {
		case v.doubt:
			doubt(e.Instance, protocolOf(e), res.Error().Error())
		case v.down:
			eject(e.Instance, protocolOf(e), res.Error().Error())
		}
		more = more && !c.late() && i.reroutes(c, e, d, true)
	default:
		if v.strike {
			strike(e, d)
		}
		retry := conf.Current().Retry
		if more && c.counted() <= maxReroutes && c.unary && (!c.option || !c.late()) && c.repeated < i.repeats(c, retry) && i.pay(c) {
			c.repeating = true
			c.restart()
			return true
		}
		return false
	}
	if more {
		c.from = e
	}
	return more
}

// reroutes reports whether a call that was not executed may try one more endpoint. An
// attempt that found its endpoint gone counts for nothing: one that leaves was tried
// where there is nothing else, and nobody tries it again. Of many that are gone, the one
// that still serves must be found.
func (i *Invoker) reroutes(c *call, e *endpoint.Endpoint, d *tagrouter.Decision, firstIsFree bool) bool {
	if d.Last && e.Spent() {
		c.void++
		return true
	}
	return c.counted() <= maxReroutes && (firstIsFree && c.counted() == 1 || i.pay(c))
}

func (i *Invoker) pay(c *call) bool {
	if i.budget.spend(conf.Current().Retry.BudgetPercent / 100) {
		c.paid = true
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
