// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/connect"
)

// What a provider has to hear from this caller, or it waits as long as its notice, is
// said once more, sayPause later, where the first time failed though somebody may
// listen. Each time is bounded by sayTimeout, both together by saidTimeout.
const (
	sayTimeout  = 1500 * time.Millisecond
	sayPause    = 50 * time.Millisecond
	saidTimeout = 2*sayTimeout + sayPause
	// echoRedraws is more than calls draw again, see [connect.Redraws]: there is no other
	// endpoint to go to, and it is done once a leave.
	echoRedraws = 64
)

// Words counts what this caller had to say to providers that leave, or of its own end.
type Words struct {
	Again   int64 // said once more, for the first time failed
	Unheard int64 // not heard, though somebody may listen there: the provider may wait for its notice
}

var words struct{ again, unheard atomic.Int64 } //nolint:gochecknoglobals // counters of the process

// ReadWords returns the counters since the start of the process.
func ReadWords() Words { return Words{words.again.Load(), words.unheard.Load()} }

// say says something to the provider of an endpoint. what ends the sentence of a log line
// that begins with who could not be told that. It reports whether it was heard.
func say(ctx context.Context, e *endpoint.Endpoint, what string, once func(context.Context) error) (heard bool) {
	err := guarded(ctx, once)
	if err == nil {
		return true
	}
	switch {
	case errors.Is(err, base.ErrDestroyedInvoker): // it left, failed or has a successor, and was given up meanwhile
		logger.Infof("[graylane] %s (incarnation %s) was given up before it could be told that %s", e.Address, e.Incarnation, what)
		return false
	case refuses(e.Address): // nobody is there, so that nobody waits
		return false
	}
	if ctx.Err() == nil {
		words.again.Add(1)
		time.Sleep(sayPause)
		first := err
		if err = guarded(ctx, once); err == nil {
			logger.Infof("[graylane] %s (incarnation %s) was told at the second time that %s, after: %v", e.Address, e.Incarnation, what, first)
			return true
		}
		if refuses(e.Address) {
			return false
		}
	}
	words.unheard.Add(1)
	logger.Warnf("[graylane] %s (incarnation %s) could not be told that %s: %v", e.Address, e.Incarnation, what, err)
	return false
}

// guarded says it once. dubbo-go's client panics while it loses its last connection.
func guarded(ctx context.Context, once func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, sayTimeout)
	defer cancel()
	return once(ctx)
}

// echo asks $echo of a provider over the dubbo protocol, in the name of this caller.
// state is what it says of itself, "" for nothing. dubbo-go's client knows no ctx: it is
// told how much time is left, and draws again where it drew a closed connection.
func echo(ctx context.Context, e *endpoint.Endpoint, state string) (result.Result, error) {
	for n := 0; ; n++ {
		left := sayTimeout
		if end, ok := ctx.Deadline(); ok {
			left = max(time.Until(end), time.Millisecond)
		}
		var answer string
		inv := invocation.NewRPCInvocationWithOptions(
			invocation.WithMethodName(constant.Echo),
			invocation.WithArguments([]any{constant.Echo}),
			invocation.WithReply(&answer),
			invocation.WithAttachment(tag.KeyCaller, e.Caller),
			invocation.WithAttachment(constant.TimeoutKey, left.String()),
		)
		if state != "" {
			inv.SetAttachment(tag.KeyState, state)
		}
		res := e.Invoker.Invoke(ctx, inv)
		if res == nil {
			return nil, errors.New("no result")
		}
		if err := res.Error(); err == nil || err.Error() != connect.Stale || n >= echoRedraws || ctx.Err() != nil {
			return res, err
		}
	}
}

// generic reports that dubbo-go's generic filter rewrites what is called over u.
func generic(u *common.URL) bool {
	kind := u.GetParam(constant.GenericKey, "")
	return kind != "" && kind != "false"
}
