// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// confirmTimeout bounds one confirmation, confirmations those under way at once.
const (
	confirmTimeout = time.Second
	confirmations  = 64
)

var confirming = make(chan struct{}, confirmations) //nolint:gochecknoglobals // a bound of the process

// confirm lets a provider over the dubbo protocol know that this caller has heard
// of its leaving. It tells its callers by the answers to their calls, and one that
// heard of it from the registry calls no more: the provider would wait for it for
// as long as `notice`. The question is Dubbo's own $echo, which runs no handler;
// the answer carries the mark, so that all references of this process know. A
// provider that does not leave, and is only missing from a list, answers without.
// Over Triple callers are told by the health watch.
//
// More confirmations than fit are left out: the provider then waits. So are those of
// generic references, whose questions dubbo-go turns into calls of $invoke, which the
// provider counts as calls of a caller that stays. d.mu is held.
func (d *Directory) confirm(e *endpoint.Endpoint) {
	if d.foreign || d.gone || e.Caller == nil || e.Instance.Closing() || !e.Proven() ||
		e.Invoker.GetURL().Protocol != constant.DubboProtocol || generic(e.Invoker.GetURL()) || conf.Current().Mode != conf.Enforce {
		return
	}
	select {
	case confirming <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() {
			_ = recover() // dubbo-go's client, while it loses its connection
			<-confirming
		}()
		res := echo(context.Background(), e, "")
		if res == nil || res.Error() != nil {
			return
		}
		if state, ok := tag.Value(res.Attachment(tag.KeyState, nil)); ok && state == tag.StateClosing+";"+e.Incarnation {
			e.MarkClosing()
		}
	}()
}

// echo asks $echo of a provider over the dubbo protocol, in the name of this caller.
// state is what it says of itself, "" for nothing.
func echo(ctx context.Context, e *endpoint.Endpoint, state string) result.Result {
	var answer string
	inv := invocation.NewRPCInvocationWithOptions(
		invocation.WithMethodName(constant.Echo),
		invocation.WithArguments([]any{constant.Echo}),
		invocation.WithReply(&answer),
		invocation.WithAttachment(tag.KeyCaller, e.Caller),
		invocation.WithAttachment(constant.TimeoutKey, confirmTimeout.String()),
	)
	if state != "" {
		inv.SetAttachment(tag.KeyState, state)
	}
	return e.Invoker.Invoke(ctx, inv)
}

// generic reports that dubbo-go's generic filter rewrites what is called over u.
func generic(u *common.URL) bool {
	kind := u.GetParam(constant.GenericKey, "")
	return kind != "" && kind != "false"
}
