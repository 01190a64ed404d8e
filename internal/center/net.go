// SPDX-License-Identifier: Apache-2.0

package center

import (
	"context"
	"net"
	"time"
)

// Delay is the wait before attempt n (from 0) is repeated: 100 ms, doubling to 1 s. A
// second is short beside an outage and long for a server that comes back to a thousand
// clients.
func Delay(n int) time.Duration {
	return min(100*time.Millisecond<<min(n, 4), time.Second)
}

// Pause waits [Delay], or until ctx ends.
func Pause(ctx context.Context, n int) { Wait(ctx, Delay(n), nil) }

// Wait waits d, or until ctx ends or wake, which may be nil, is closed.
func Wait(ctx context.Context, d time.Duration, wake <-chan struct{}) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-wake:
	}
}

// Dial returns nil as soon as one of the servers accepts a connection, else the
// last error: a refused connection is known at once.
func Dial(ctx context.Context, servers []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan error, len(servers))
	for _, server := range servers {
		go func() {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server)
			if err == nil {
				_ = conn.Close()
			}
			results <- err
		}()
	}
	var last error
	for range servers {
		if last = <-results; last == nil {
			return nil
		}
	}
	return last
}
