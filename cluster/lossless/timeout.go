// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/internal/meta"
)

// defaultTimeout is dubbo-go's, where a text is no duration.
const defaultTimeout = 3 * time.Second

// limit is a timeout with its text, boxed once for the attachment.
type limit struct {
	d    time.Duration // 0: none
	text any           // a string
}

func newLimit(text string) limit {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		d, text = defaultTimeout, defaultTimeout.String()
	}
	return limit{d, text}
}

// limits are the timeouts of a reference: its own, and those of its methods.
type limits struct {
	reference limit
	methods   map[string]limit // nil if there are none
}

func newLimits(u *common.URL) limits {
	l := limits{reference: newLimit("")}
	if u == nil {
		return l
	}
	l.reference = newLimit(u.GetParam(constant.TimeoutKey, ""))
	meta.EachMethod(u, constant.TimeoutKey, func(method, text string) {
		if l.methods == nil {
			l.methods = make(map[string]limit)
		}
		l.methods[method] = newLimit(text)
	})
	return l
}

// of returns the limit of a method, and whether it is the method's own.
func (l *limits) of(method string) (m limit, own bool) {
	if l.methods != nil {
		if m, own = l.methods[method]; own {
			return m, true
		}
	}
	return l.reference, false
}

var epoch = time.Now() //nolint:gochecknoglobals // a constant of the process

// now is the monotonic clock, read for the price of one counter.
func now() time.Duration { return time.Since(epoch) }

// limit notes how long the call may take over all its endpoints: as long as its
// option says and its context lives; where neither says anything, as long as its
// method's or the reference's timeout. option is "" for none.
func (c *call) limit(l *limits, option string) {
	switch _, ends := c.base.Deadline(); {
	case option != "":
		c.max, c.option, c.own = newLimit(option), true, true
	case !ends:
		c.max, c.own = l.of(c.inv.MethodName())
	default:
		return // the context's clock will do: reading one costs as much as two look-ups
	}
	c.start = now()
}

// late reports that the call's time is over, as far as its context does not say so.
func (c *call) late() bool { return c.max.d > 0 && now()-c.start >= c.max.d }

// left is what remains of the call's time, at least a millisecond; 0 if it has no end.
func (c *call) left() time.Duration {
	d := c.max.d
	if d > 0 {
		d = max(d-(now()-c.start), time.Millisecond)
	}
	if deadline, ok := c.base.Deadline(); ok {
		if until := max(time.Until(deadline), time.Millisecond); d == 0 || until < d {
			d = until
		}
	}
	return d
}

// bound gives a call over Triple a context that ends in time. The client knows the
// reference's timeout, and starts it anew for each endpoint; all else it must be told.
func (c *call) bound() {
	if c.max.d > 0 && c.cancel == nil {
		c.ctx, c.cancel = context.WithTimeout(c.base, c.left())
	}
}

// restart gives a call that is repeated, because somebody asked for retries, the
// whole timeout of its method or reference again, as dubbo-go does. The option of the
// call and the deadline of its context are never exceeded.
func (c *call) restart() {
	if c.option || c.max.d == 0 {
		return
	}
	c.start = now()
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
}

// timeout is the attachment of a call over the dubbo protocol, whose client ignores
// the context. It is written anew for each endpoint, for the client replaces it by a
// number that it cannot read again.
func (c *call) timeout() any {
	_, bounded := c.base.Deadline()
	if !bounded && c.attempts == 1 && now()-c.start < time.Millisecond {
		return c.max.text
	}
	if d := c.left(); d > 0 {
		return d.String()
	}
	return "" // dubbo-go's default
}
