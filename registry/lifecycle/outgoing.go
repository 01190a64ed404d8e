// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
)

// outgoingName names our part in the step in which dubbo-go tells long-lived
// connections, and programs stop what feeds them, such as an HTTP server: all at
// once, after the drain and before clients are closed.
const outgoingName = "graylane-outgoing"

// outgoingPoll is how often the calls in flight are looked at.
const outgoingPoll = 10 * time.Millisecond

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

// waitOutgoing returns when no call of this process to others is in flight, or
// when ctx ends: a process that serves nobody also finishes what it has begun.
func (m *manager) waitOutgoing(ctx context.Context) error {
	if m.settings().Mode == conf.Off {
		return nil
	}
	if end, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, end.Add(-outgoingReport))
		defer cancel()
	}
	tick := time.NewTicker(outgoingPoll)
	defer tick.Stop()
	for {
		n := outgoing(endpoint.Shared)
		if n <= 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			logger.Warnf("[graylane] shutdown: %d calls to others are cut off", n)
			return nil // an error would have dubbo-go ask again
		}
	}
}

// outgoing counts the calls in flight.
func outgoing(t *endpoint.Table) (n int64) {
	for _, e := range t.Ledger() {
		n += e.Sent - e.Answered - e.Refused - e.Unknown
	}
	return n
}
