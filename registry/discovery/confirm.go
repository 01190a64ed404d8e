// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// confirmations bounds those under way at once.
const confirmations = 64

var confirming = make(chan struct{}, confirmations) //nolint:gochecknoglobals // a bound of the process

// confirm lets a provider over the dubbo protocol know that this caller has heard
// of its leaving. It tells its callers by the answers to their calls, and one that
// heard of it from the registry calls no more: the provider would wait for it for
// as long as `notice`. The question is Dubbo's own $echo, which runs no handler;
// the answer carries the mark, so that all references of this process know. A
// provider that does not leave, and is only missing from a list, answers without.
// Over Triple callers are told by the health watch, if they have one, see avow.
//
// One that has never answered knows nothing of this caller. More confirmations than fit
// are left out: the provider then waits. d.mu is held.
func (d *Directory) confirm(p *provider) {
	if answered, _ := p.endpoint.Calls(); answered == 0 {
		return
	}
	if p.endpoint.Invoker.GetURL().Protocol == constant.TriProtocol {
		d.avow(p)
		return
	}
	if !d.question(p, func(bool) {}) {
		words.unheard.Add(1)
	}
}

// question asks a provider over the dubbo protocol whether it leaves, and heeds it; then
// hears whether it answered. It reports false if it is left out for want of room. Others
// than those that would believe this caller are not asked, nor one whose address another has: it is dead.
// Nor do generic references ask, whose questions dubbo-go turns into calls of $invoke, which the
// provider counts as calls of a caller that stays. d.mu is held.
func (d *Directory) question(p *provider, then func(answered bool)) (room bool) {
	e := p.endpoint
	if d.foreign || d.gone || p.replaced || e == nil || e.Caller == nil || e.Instance.Closing() ||
		e.Invoker.GetURL().Protocol != constant.DubboProtocol || generic(e.Invoker.GetURL()) || conf.Current().Mode != conf.Enforce {
		return true
	}
	select {
	case confirming <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-confirming }()
		ctx, cancel := context.WithTimeout(context.Background(), saidTimeout)
		defer cancel()
		then(say(ctx, e, "its leave is known", func(ctx context.Context) error { return heedEcho(ctx, e) }))
	}()
	return true
}

// heedEcho asks a provider over the dubbo protocol whether it leaves, and heeds it.
func heedEcho(ctx context.Context, e *endpoint.Endpoint) error {
	res, err := echo(ctx, e, "")
	if err != nil {
		return err
	}
	if state, ok := tag.Value(res.Attachment(tag.KeyState, nil)); ok && state == tag.StateClosing+";"+e.Incarnation {
		e.MarkClosing()
	}
	return nil
}
