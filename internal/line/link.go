// SPDX-License-Identifier: Apache-2.0

package line

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/internal/connect"
)

// link is a service at an address: dubbo-go's invoker over the client of now.
type link struct {
	line *line
	url  *common.URL
	leg  atomic.Pointer[leg] // never nil

	mu   sync.Mutex // for those who change leg
	gone bool
}

// leg is dubbo-go's invoker over one client.
type leg struct {
	*dubbo.DubboInvoker
	client *client
}

var (
	_ base.Invoker            = (*link)(nil)
	_ base.AvailabilitySetter = (*link)(nil)
)

// newLeg counts itself in at the client, which counts its line besides: so dubbo-go's
// invoker is never the last one, and does not close it.
func newLeg(u *common.URL, c *client) *leg {
	c.IncreaseActiveNumber()
	return &leg{dubbo.NewDubboInvoker(u, c.ExchangeClient), c}
}

// over returns the leg over a client that is not stuck, and connects if there is none;
// once the link is destroyed, the last one.
func (k *link) over() (*leg, error) {
	g := k.leg.Load()
	if g.client.usable() {
		return g, nil
	}
	k.mu.Lock()
	gone := k.gone
	k.mu.Unlock()
	if gone {
		return g, nil
	}
	c, err := k.line.connected(k.url)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if g = k.leg.Load(); !k.gone && g.client != c {
		g = newLeg(k.url, c)
		k.leg.Store(g)
	}
	return g, nil
}

// Invoke sends the call. It is never executed where the error wraps [connect.ErrUnreachable].
func (k *link) Invoke(ctx context.Context, inv base.Invocation) (res result.Result) {
	g, err := k.over()
	if err != nil {
		return &result.RPCResult{Err: err}
	}
	returned := false
	defer func() {
		if returned || !choosing() { // any other panic goes on
			return
		}
		if r := recover(); r != nil {
			g.client.giveUp(k.line.address, r)
			res = &result.RPCResult{Err: fmt.Errorf("%w to %s: it was lost that moment", connect.ErrUnreachable, k.line.address)}
		}
	}()
	res = g.Invoke(ctx, inv)
	returned = true
	if err := res.Error(); err != nil && err.Error() == closedText {
		k.replace(g)
	}
	return res
}

// closedText is what dubbo-go's client says once it is closed, and lookingTime how long
// it looks for a connection before it says that there is none; it is quicker to say so
// only if it is closed. It closes itself when a request was written in part.
const (
	closedText  = "client have been closed"
	lookingTime = patience
)

// replace gives up a client that is closed for good, though its line is in use, and
// reports whether it did.
func (k *link) replace(g *leg) bool {
	k.mu.Lock()
	gone := k.gone
	k.mu.Unlock()
	if gone || k.line.ended.Load() {
		return false
	}
	g.client.giveUp(k.line.address, "it has closed itself")
	return true
}

// IsAvailable reports whether the client is connected; it connects if it is not.
func (k *link) IsAvailable() bool {
	for range 2 {
		g, err := k.over()
		if err != nil {
			return false
		}
		begin := time.Now()
		if k.available(g) {
			return true
		}
		if time.Since(begin) >= lookingTime || !g.client.usable() || !k.replace(g) {
			return false
		}
	}
	return false
}

func (k *link) available(g *leg) (available bool) {
	returned := false
	defer func() {
		if returned || !choosing() {
			return
		}
		if r := recover(); r != nil {
			g.client.giveUp(k.line.address, r)
			available = false
		}
	}()
	available = g.IsAvailable()
	returned = true
	return available
}

// GetURL returns the service's URL.
func (k *link) GetURL() *common.URL { return k.leg.Load().GetURL() }

// SetAvailable implements dubbo-go's AvailabilitySetter.
func (k *link) SetAvailable(available bool) { k.leg.Load().SetAvailable(available) }

// Destroy gives the client back. It does not wait for it.
func (k *link) Destroy() {
	k.mu.Lock()
	if k.gone {
		k.mu.Unlock()
		return
	}
	k.gone = true
	g := k.leg.Load()
	k.mu.Unlock()
	g.Destroy()
	k.line.release()
}

// chooses is where dubbo-go's client chooses a connection for a call, before it looks at
// the call: nothing has been encoded or written by then.
const chooses = "dubbo.apache.org/dubbo-go/v3/remoting/getty.(*gettyRPCClient).selectSession"

// choosing reports that the caller, a deferred function, runs because of a panic that
// began where a connection is chosen: with no other function of dubbo-go's above it.
func choosing() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	panicking := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicking = true
		case !panicking, // the deferred function itself
			strings.HasPrefix(f.Function, "runtime."), strings.HasPrefix(f.Function, "sync."),
			strings.HasPrefix(f.Function, "sync/"), strings.HasPrefix(f.Function, "internal/"):
		default:
			return f.Function == chooses
		}
		if !more {
			return false
		}
	}
}
