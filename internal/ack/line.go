// SPDX-License-Identifier: Apache-2.0

package ack

import (
	"context"
	"net"
	"sync"
)

// lines are the connections of one [Send]. An HTTP transport closes only those that are
// idle, which one is not yet whose answer has just been read, and never will be whose
// answer does not come.
type lines struct {
	mu   sync.Mutex
	open []net.Conn
	over bool
}

// dial returns a function for a transport, whose dials may outlast the request: they end
// with ctx.
func (l *lines) dial(ctx context.Context) func(context.Context, string, string) (net.Conn, error) {
	return func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.over {
			_ = conn.Close()
			return nil, net.ErrClosed
		}
		l.open = append(l.open, conn)
		return conn, nil
	}
}

// close closes all there are, and those that are being dialled.
func (l *lines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	for _, conn := range l.open {
		_ = conn.Close()
	}
}
