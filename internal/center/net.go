// SPDX-License-Identifier: Apache-2.0

package center

import (
	"context"
	"net"
	"time"
)

// Pause waits before attempt n (from 0) is repeated, 100 ms, doubling to 1 s, or
// until ctx ends. A second is short beside an outage and long for a server that
// comes back to a thousand clients.
func Pause(ctx context.Context, n int) {
	t := time.NewTimer(min(100*time.Millisecond<<min(n, 4), time.Second))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
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
