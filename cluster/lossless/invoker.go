// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/told"
	"github.com/graylane/graylane/loadbalance/warmup"
)

// maxReroutes bounds the endpoints that one call tries beside the first, those not
// counted that turn out to be gone.
const maxReroutes = 3

// Invoker is one reference: a service as this process calls it.
type Invoker struct {
	dir     directory.Directory
	view    *view
	routers *narrower // beside the ladder, nil: none
	budget  *budget
	service string
	triple  bool
	generic bool // dubbo-go's filter makes a new invocation without our trailer

	own      tagrouter.Own         // the reference's tag, for calls without
	terms    atomic.Pointer[terms] // never nil after New
	unfollow func()                // ends their changes, nil: they do not change
}

var (
	_ base.Invoker = (*Invoker)(nil)
	_ told.Invoker = (*Invoker)(nil)
)

// New returns an invoker over the endpoints of src, which is what d lists.
func New(d directory.Directory, src endpoint.Source) *Invoker {
	i := newDecider(d, src)
	i.followTerms(d, src)
	if i.routers = newNarrower(d, src); i.routers != nil {
		i.routers.pools = func() []*endpoint.Pool { return i.view.cur.Load().Pools() }
	}
	return i
}

// newDecider returns an invoker without the user's routers, for those who only ask
// what the ladder says.
func newDecider(d directory.Directory, src endpoint.Source) *Invoker {
	u := reference(d)
	i := &Invoker{dir: d, budget: newBudget(), own: tagrouter.OwnOf(u)}
	if u != nil {
		i.service = u.Service()
		i.triple = isTriple(u)
		i.generic = u.GetParam(constant.GenericKey, "") != ""
	}
	i.view = newView(src, i.service)
	return i
}

// GetURL returns the directory's URL.
func (i *Invoker) GetURL() *common.URL { return i.dir.GetURL() }

// IsAvailable reports whether any endpoint is usable.
func (i *Invoker) IsAvailable() bool { return i.view.cur.Load().Available() }

// Destroy ends the reference and its directory. Calls in flight end as they may.
func (i *Invoker) Destroy() {
	i.view.close()
	if i.unfollow != nil {
		i.unfollow()
	}
	if i.routers != nil {
		i.routers.close()
	}
	i.dir.Destroy()
}

// call is the state of one call over all endpoints that it tries.
type call struct {
	base   context.Context    // as the caller handed it over
	ctx    context.Context    // base, or one of ours that ends in time
	cancel context.CancelFunc // of the latter
	inv    base.Invocation
	terms  *terms
	told.Call
	plain     bool // Call is of an interceptor: see there what else it says
	wanted    string
	unary     bool
	option    bool // max is the call's own
	own       bool // max is not the reference's
	trailer   *http.Header
	start     time.Duration
	max       limit // as [call.limit] found it
	tried     [maxReroutes + 1]*endpoint.Endpoint
	attempts  int
	void      int                // of the attempts, those that found their endpoint gone: they are not in tried
	repeated  int                // though the outcome was unknown
	repeating bool               // the next attempt is such a one
	paid      bool               // the next attempt costs one of the budget
	unsure    *endpoint.Endpoint // the last of which nobody knows whether it executed the call
	answer    result.Result      // what was heard of that
	fellBack  bool               // counted
	from      *endpoint.Endpoint // that the call is being rerouted from
	filtered  bool               // the user's routers left nothing of a level
	behind    bool               // an endpoint did not take the call: the snapshot is behind its state
	unready   *connect.Invoker   // of the endpoint chosen, nil: its connection need not be asked for
}

// Invoke sends the call. Its error wraps [endpoint.ErrNoEndpoint] if no endpoint
// may serve it, and then also what the last one said that refused it or could not be
// reached, and is [ErrNoResult] if a filter or client returned nothing; any
// other error is the endpoint's own.
func (i *Invoker) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	c := call{base: ctx, ctx: ctx, inv: inv}
	// Until it is sent, a call has one goroutine: its maps are read without the lock.
	c.Attachments = inv.Attachments()
	c.Tag, _ = tag.Value(c.Attachments[tag.KeyTag])
	c.Timeout, _ = tag.Value(c.Attachments[constant.TimeoutKey])
	return i.invoke(&c)
}

// InvokeTold implements [told.Invoker].
func (i *Invoker) InvokeTold(ctx context.Context, inv base.Invocation, known told.Call) result.Result {
	c := call{base: ctx, ctx: ctx, inv: inv, Call: known, plain: true}
	return i.invoke(&c)
}

// invoke sends a call of which [call.Call] is known.
func (i *Invoker) invoke(c *call) result.Result {
	i.budget.calls.Add(1)
	if err := c.base.Err(); err != nil { // nobody waits for it any more
		return &result.RPCResult{Err: i.ended(err)}
	}
	c.terms = i.terms.Load()
	if c.wanted = c.Tag; c.wanted == "" {
		c.wanted = i.own.Tag
	}
	attributes := c.inv.Attributes()
	kind, ok := attributes[constant.CallTypeKey]
	if text, _ := kind.(string); !ok || text == constant.CallUnary {
		c.unary = true
		c.limit(&c.terms.limits, c.Timeout)
		if i.triple {
			if !i.generic {
				others := 0
				if ok {
					others = 1
				}
				c.trailer = trailerOf(c.inv, attributes, others)
			}
			if c.own {
				c.bound()
			}
		}
	}
	res := i.run(c)
	if c.cancel != nil {
		c.cancel()
	}
	return res
}

// run tries one endpoint after the other, until one answers or the call may go on
// no more.
func (i *Invoker) run(c *call) result.Result {
	var last result.Result
	for {
		e, d, err := i.choose(c)
		if err != nil {
			if c.paid { // for nothing: there is nobody else
				i.budget.giveBack()
			}
			if c.unsure != nil {
				return i.unknown(c)
			}
			return i.nobody(err, last)
		}
		c.paid = false
		if c.repeating {
			c.repeating = false
			c.repeated++
			stats.retried.Add(1)
		}
		if c.from != nil {
			stats.rerouted.Add(1)
			c.from.Reroute()
			c.from = nil
		}
		if d.Reason != "" && !c.fellBack {
			c.fellBack = true
			countFallback(d.Reason)
		}
		res, v := i.send(c, e, d)
		if v.outcome == endpoint.Answered {
			return res
		}
		if v.outcome == endpoint.Unknown {
			c.unsure, c.answer = e, res
		}
		if !i.again(c, e, d, v, res) {
			if c.unsure != nil {
				return i.unknown(c)
			}
			if d.Last && e.Spent() { // there may be more of its kind, but it may try no more
				return i.nobody(endpoint.ErrNoEndpoint, res)
			}
			return res
		}
		if i.triple && c.unary { // what is left of its time, no new timeout
			c.bound()
		}
		last = res
	}
}

// unknown is the result of a call that may have been executed: what was heard of the
// attempt that is in doubt, whatever those after it said.
func (i *Invoker) unknown(c *call) result.Result {
	stats.unknown.Add(1)
	reportUnknown(i.service, c.inv, c.unsure, c.answer.Error())
	return c.answer
}

// nobody is the result of a call that no endpoint may serve; last is that of the last
// one that was tried, nil: none was.
func (i *Invoker) nobody(err error, last result.Result) result.Result {
	if last != nil {
		err = i.because(err, last.Error())
	}
	stats.noEndpoint.Add(1)
	return &result.RPCResult{Err: fmt.Errorf("No provider available for %s: %w", i.service, err)} //nolint:staticcheck // dubbo-go's words: people alert on them
}

// because adds to err, which wraps [endpoint.ErrNoEndpoint], what the last endpoint
// said. Over dubbo only its text: by the class of a refusal callers take a call for one
// that another instance may still serve.
func (i *Invoker) because(err, last error) error {
	if class, _, ok := exception(last); ok && class == tag.RefusedClass {
		return fmt.Errorf("%w; the last that was tried: %s", err, last.Error())
	}
	return fmt.Errorf("%w; the last that was tried: %w", err, last)
}

// ended is the error of a call whose context has ended, as the protocol would say it.
func (i *Invoker) ended(err error) error {
	switch {
	case !i.triple:
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return triple_protocol.NewError(triple_protocol.CodeDeadlineExceeded, err)
	}
	return triple_protocol.NewError(triple_protocol.CodeCanceled, err)
}

// attach sets an attachment without the lock: until it is sent, a call has one
// goroutine.
func (c *call) attach(key string, value any) {
	if c.Attachments == nil {
		c.inv.SetAttachment(key, value)
		c.Attachments = c.inv.Attachments()
		return
	}
	c.Attachments[key] = value
}

// force reports whether the call is for the tag that it wants and no other.
func (i *Invoker) force(c *call) bool {
	if c.plain {
		return i.own.Insists(nil)
	}
	return i.own.Insists(c.Attachments)
}

// choose routes, picks and counts the call in: the endpoint has begun. If what the
// snapshot names first does not take the call, for the snapshot is behind the state
// of its endpoints or they have been tried, the whole ladder is looked at, and only
// if there is news that of a new snapshot: calls in vain, however many, cost a look-up.
func (i *Invoker) choose(c *call) (*endpoint.Endpoint, *tagrouter.Decision, error) {
	c.behind = false
	snap := i.view.cur.Load()
	d := snap.Sure(c.wanted)
	if d == nil {
		d = snap.First(c.wanted, i.force(c))
	}
	if d != nil {
		if e := i.pick(c, d); e != nil {
			return e, d, nil
		}
	}
	force := i.force(c)
	for range 2 {
		snap = i.view.fresh(c.behind)
		c.filtered, c.behind = false, false // of the one before
		for d := range snap.Ladder(c.wanted, force) {
			if e := i.pick(c, &d); e != nil {
				return e, &d, nil
			}
			if c.filtered {
				return nil, nil, fmt.Errorf("%w for tag %q: the routers leave nothing of level %q", endpoint.ErrNoEndpoint, c.wanted, d.Level)
			}
		}
		if !c.behind {
			break
		}
	}
	_, err := snap.Route(c.wanted, force)
	if err == nil {
		err = fmt.Errorf("%w for tag %q: all have been tried or are leaving", endpoint.ErrNoEndpoint, c.wanted)
	}
	return nil, nil, err
}

// pick chooses an endpoint that may start a call and has not been tried, of those
// that the user's routers leave: the one that calls stick to, or a new one.
func (i *Invoker) pick(c *call, d *tagrouter.Decision) *endpoint.Endpoint {
	pool := d.Pool
	if i.routers != nil {
		if pool = i.routers.narrow(pool, c.inv); pool.Len() == 0 {
			c.filtered = true
			return nil
		}
	}
	sticky := c.terms.sticky
	if sticky == nil || !sticky.holds(c.inv.MethodName()) {
		return i.draw(c, d, pool)
	}
	if e := sticky.of(d.Level, pool); e != nil && c.fits(e, d) {
		return e
	}
	e := i.draw(c, d, pool)
	if e != nil {
		sticky.keep(d.Level, pool, e)
	}
	return e
}

// draw chooses by ours or by the balancer that the user named, which may insist on
// one that does not take the call: after two choices in vain ours is asked, and
// after a few more all of the pool is looked at.
func (i *Invoker) draw(c *call, d *tagrouter.Decision, pool *endpoint.Pool) *endpoint.Endpoint {
	policy := c.terms.policy
	if c.terms.byMethod != nil {
		policy = c.terms.of(c.inv.MethodName())
	}
	for n := range 4 {
		if n == 2 {
			policy = ""
		}
		var e *endpoint.Endpoint
		if policy == "" {
			e = warmup.Pick(pool)
		} else {
			e = warmup.PickBy(extension.GetLoadbalance(policy), pool, c.inv)
		}
		if e != nil && c.fits(e, d) {
			return e
		}
	}
	for _, e := range pool.All() {
		if c.fits(e, d) {
			return e
		}
	}
	return nil
}

// counted is how many of the attempts count: they are in tried.
func (c *call) counted() int { return c.attempts - c.void }

func (c *call) fits(e *endpoint.Endpoint, d *tagrouter.Decision) bool {
	if slices.Contains(c.tried[:c.counted()], e) {
		return false
	}
	// Before it is counted in, for a count is a barrier: of thousands of endpoints, what a
	// call looks at is in nobody's cache, and is so fetched at once.
	c.unready = nil
	if w, ok := e.Invoker.(*connect.Invoker); ok && (w.EachCall() || !e.Proven()) {
		c.unready = w
	}
	if !e.Begin(d.Last) {
		c.behind = c.behind || !e.Spent() // that one stays as it is
		return false
	}
	return true
}

// ErrNoResult reports that an invoker returned neither an answer nor an error: a
// fault of a filter or of a protocol. Whether the call was executed is unknown.
var ErrNoResult = errors.New("lossless: neither an answer nor an error was returned")

// send hands the call to the endpoint and counts it out, also on a panic.
func (i *Invoker) send(c *call, e *endpoint.Endpoint, d *tagrouter.Decision) (res result.Result, v verdict) {
	v.outcome = endpoint.Unknown
	defer func() { e.End(v.outcome) }()
	c.tried[c.counted()] = e
	c.attempts++
	if c.unready != nil {
		if err := c.unready.Ready(c.third()); err != nil {
			return &result.RPCResult{Err: i.unreachable(err)}, verdict{outcome: endpoint.Failed, down: true}
		}
	}
	i.prepare(c, e, d)
	res = e.Invoker.Invoke(c.ctx, c.inv)
	if r, ok := res.(*result.RPCResult); res == nil || ok && r == nil {
		return &result.RPCResult{Err: ErrNoResult}, v
	}
	err := res.Error()
	if err != nil && !i.triple {
		res, err = c.redraw(e, res)
	}
	if err != nil {
		if v = judge(err); v.relayed(e.Instance) {
			v = verdict{outcome: endpoint.Answered} // the refusal is one that its handler got
		}
	} else {
		v = verdict{outcome: endpoint.Answered, state: c.state(res)}
	}
	// No mark means "not warming" only where there could have been one: not on
	// streams, nor on errors over the dubbo protocol.
	if v.state != "" || v.refused != "" || c.unary && !e.Calibrated() && (c.trailer != nil || !i.triple && err == nil) {
		heed(e.Instance, v)
	}
	return res, v
}

// third is how long a call may wait for a connection.
func (c *call) third() time.Duration {
	left := c.left()
	if left == 0 {
		left = defaultTimeout
	}
	return max(left/3, time.Millisecond)
}

// unreachable is the error of a call that got no connection, as the protocol would
// say it.
func (i *Invoker) unreachable(err error) error {
	if i.triple {
		return triple_protocol.NewError(triple_protocol.CodeUnavailable, err)
	}
	return err
}

// prepare writes what this endpoint must be told.
func (i *Invoker) prepare(c *call, e *endpoint.Endpoint, d *tagrouter.Decision) {
	if c.unary && e.Caller != nil {
		c.attach(tag.KeyCaller, e.Caller)
	} else if c.attempts > 1 {
		c.attach(tag.KeyCaller, "")
	}
	if !c.plain && tag.PathFrom(c.ctx) != nil {
		p := pathNoFallback
		if n := reasonIndex(d.Reason); n >= 0 {
			p = requestPath[n]
		}
		c.attach(tag.KeyPath, p)
	}
	if c.trailer != nil && c.attempts > 1 {
		clear(*c.trailer) // of the endpoint that refused
	}
	if !i.triple {
		c.attach(constant.TimeoutKey, c.timeout())
	}
}

// state returns the mark in a good answer, "" if there is none.
func (c *call) state(res result.Result) string {
	if c.trailer != nil {
		return first((*c.trailer)[headerState])
	}
	if s, ok := tag.Value(res.Attachment(tag.KeyState, nil)); ok {
		return s
	}
	return ""
}
