// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/registry/discovery"
)

// outgoingName names our part in the step in which dubbo-go tells long-lived
// connections, and programs stop what feeds them, such as an HTTP server: all at
// once, after the drain and before clients are closed.
const outgoingName = "graylane-outgoing"

// outgoingPoll is how often the calls in flight are looked at, outgoingQuiet how long
// there must be none: a handler may call one after the other.
const (
	outgoingPoll  = 10 * time.Millisecond
	outgoingQuiet = 5 * outgoingPoll
)

// outgoingReport is how much earlier we give up than dubbo-go, which would not wait
// for the line that says so.
const outgoingReport = 100 * time.Millisecond

// giveTime lets that step last as long as shutdown.timeout leaves. dubbo-go asks
// for the value after the drain.
func (m *manager) giveTime() {
	left := m.settings().Shutdown.Timeout - time.Since(m.gate.Snapshot().Marked)
	m.dubbo.NotifyTimeout = max(left, leastNotify).String()
}

// leastNotify is what that step gets in any case.
const leastNotify = 2 * time.Second

// waitOutgoing returns when no call of this process to others is in flight and these
// know that it ends, or when ctx ends: a process that serves nobody also finishes what
// it has begun.
func (m *manager) waitOutgoing(ctx context.Context) error {
	if m.settings().Mode == conf.Off {
		return nil
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-outgoingReport))
		defer cancel()
	}
	var last int64
	tick := time.NewTicker(outgoingPoll)
	defer tick.Stop()
	for quiet := time.Duration(0); ; quiet += outgoingPoll {
		n, sent := outgoing(endpoint.Shared)
		if n > 0 || sent != last {
			quiet, last = 0, sent
		}
		if quiet >= outgoingQuiet || sent == 0 {
			discovery.Farewell(ctx)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if n > 0 {
				logger.Warnf("[graylane] shutdown: %d calls to others are cut off", n)
			}
			return nil // an error would have dubbo-go ask again
		}
	}
}

// outgoing counts the calls in flight, and all that were ever sent.
func outgoing(t *endpoint.Table) (inflight, sent int64) {
	for _, e := range t.Ledger() {
		inflight += e.Sent - e.Answered - e.Refused - e.Unknown
		sent += e.Sent
	}
	return inflight, sent
}
