// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"context"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/refusal"
)

// Name is the filter's name in dubbogo.yml. It must be the first of a service's
// filters, so that it sees what every other filter answers; never on the health,
// reflection and metadata services, whose streams live as long as their callers.
const Name = "graylane-shutdown"

func init() { extension.SetFilter(Name, func() filter.Filter { return New(Process()) }) }

// Filter counts, marks and refuses the calls of one service.
type Filter struct {
	gate    *Gate
	service atomic.Pointer[service]
}

var _ filter.Filter = (*Filter)(nil)

// service is what the filter needs of its invoker's URL.
type service struct {
	url    *common.URL
	name   string
	triple bool
}

// New returns a filter that keeps its books in g.
func New(g *Gate) *Filter { return &Filter{gate: g} }

// Invoke runs the handler, unless the gate refuses.
func (f *Filter) Invoke(ctx context.Context, invoker base.Invoker, inv base.Invocation) result.Result {
	g, s := f.gate, f.serviceOf(invoker)
	c := g.callers.of(inv, g.incarnation)
	if !s.triple && !c.overDubbo.Load() {
		c.overDubbo.Store(true)
	}
	if inv.MethodName() == constant.Echo {
		return f.echo(ctx, invoker, inv, c)
	}
	entered, marked := g.enter(c, g.now())
	if !entered {
		return refusal.Closing(s.triple, g.closingMark)
	}
	running := c.running(s.name, inv.MethodName())
	running.Add(1)
	how := aborted
	defer func() { g.leave(c, running, how, marked) }()
	res := invoker.Invoke(ctx, inv)
	how = completed
	if res == nil {
		return nil
	}
	if refusal.Own(res) {
		how = refused
	}
	if mark := g.mark(); mark != "" && stamp(res, s.triple, mark) && g.Closing() {
		g.informed(c)
	}
	return res
}

// echo passes a call of Dubbo's $echo on, by which a caller asks whether this process
// is there: no handler runs for it, it is neither counted nor refused, and it keeps
// no drain from ending. The answer is marked like any other. By it a caller over the
// dubbo protocol also says that it ends.
func (f *Filter) echo(ctx context.Context, invoker base.Invoker, inv base.Invocation, c *caller) result.Result {
	if name, state := ack.From(inv, f.gate.incarnation); state == tag.StateGone {
		f.gate.left(name)
	}
	res := invoker.Invoke(ctx, inv)
	if mark := f.gate.mark(); mark != "" && stamp(res, f.serviceOf(invoker).triple, mark) && f.gate.Closing() {
		f.gate.informed(c)
	}
	return res
}

// OnResponse changes nothing: Invoke has done it, inside the call's count.
func (f *Filter) OnResponse(_ context.Context, res result.Result, _ base.Invoker, _ base.Invocation) result.Result {
	return res
}

// serviceOf reads the invoker's URL once.
func (f *Filter) serviceOf(invoker base.Invoker) *service {
	u := invoker.GetURL()
	if s := f.service.Load(); s != nil && s.url == u {
		return s
	}
	s := &service{url: u}
	if u != nil {
		s.name = u.Service()
		s.triple = u.Protocol == constant.TriProtocol
	}
	f.service.Store(s)
	return s
}
