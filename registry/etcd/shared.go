// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"

	"github.com/graylane/graylane/internal/keeper"
)

const (
	// connectTimeout bounds one connection attempt and, with an account, one log-in.
	connectTimeout = 3 * time.Second
	// reconnectMax is far below the lease's life: gRPC's own default of 2 minutes
	// would let every lease run out after an outage.
	reconnectMax = time.Second
	// aliveTime and aliveTimeout find a connection that is dead but not closed;
	// etcd allows a ping every 5 s.
	aliveTime    = 10 * time.Second
	aliveTimeout = 3 * time.Second
	// operation bounds one background request, so that a dead etcd is noticed.
	operation = 3 * time.Second
)

// shared is the one connection of the process to one address set. It is opened
// by the first use; users count.
type shared struct {
	address address
	users   int // guarded by pool.mu

	ctx    context.Context
	cancel context.CancelFunc
	gate   chan struct{} // holds one token: the right to open

	mu    sync.Mutex
	raw   *clientv3.Client
	epoch chan struct{} // closed and replaced each time the connection is back
	back  time.Time     // when it was last back, zero if it was never lost
	wg    sync.WaitGroup
}

// pool holds the connections in use, by address.
var pool = struct { //nolint:gochecknoglobals // one connection per process is the point
	mu   sync.Mutex
	open map[address]*shared
}{open: make(map[address]*shared)}

// acquire returns the connection for a; it never blocks. Each acquire needs one release.
func acquire(a address) *shared {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	s := pool.open[a]
	if s == nil {
		s = &shared{address: a, gate: make(chan struct{}, 1), epoch: make(chan struct{})}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		pool.open[a] = s
	}
	s.users++
	return s
}

// release gives one use back; the last one closes the connection.
func (s *shared) release() {
	pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(pool.open, s.address)
	}
	pool.mu.Unlock()
	if !last {
		return
	}
	s.cancel()
	s.gate <- struct{}{} // nobody is opening any more, and nobody will
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if raw != nil {
		_ = raw.Close() // reports only that its own context has ended
	}
	s.wg.Wait()
}

// client returns the etcd client. Without an account it does not wait for the
// connection; with one the first call logs in, which ctx bounds.
func (s *shared) client(ctx context.Context) (*clientv3.Client, error) {
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	select {
	case s.gate <- struct{}{}:
		defer func() { <-s.gate }()
	case <-ctx.Done():
		return nil, fmt.Errorf("connect to %s: %w", s.address.endpoints, ctx.Err())
	case <-s.ctx.Done():
		return nil, keeper.ErrDestroyed
	}
	s.mu.Lock()
	raw = s.raw
	s.mu.Unlock()
	if raw != nil {
		return raw, nil
	}
	if s.ctx.Err() != nil {
		return nil, keeper.ErrDestroyed
	}
	raw, err := clientv3.New(clientv3.Config{
		Context:              s.ctx,
		Endpoints:            s.address.list(),
		Username:             s.address.username,
		Password:             s.address.password,
		DialTimeout:          connectTimeout,
		DialKeepAliveTime:    aliveTime,
		DialKeepAliveTimeout: aliveTimeout,
		MaxUnaryRetries:      3, // our loops retry; an error should name its cause soon
		Logger:               zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: reconnectMax},
			MinConnectTimeout: connectTimeout,
		})},
	})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", s.address.endpoints, err)
	}
	s.mu.Lock()
	s.raw = raw
	s.mu.Unlock()
	s.wg.Go(func() { s.watchConnection(raw.ActiveConnection()) })
	return raw, nil
}

// reconnected returns a channel that is closed when the connection, once lost,
// is back. Take it before reading what depends on it.
func (s *shared) reconnected() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch
}

// lastBack returns when the connection was last back after it had been lost, zero if it
// never was.
func (s *shared) lastBack() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back
}

// watchConnection announces each time the connection is back. The etcd client
// resumes watches by itself, but silently never fires again if the new server has
// less history than the old one: only a re-read is safe.
func (s *shared) watchConnection(conn *grpc.ClientConn) {
	var seen, lost bool
	for state := conn.GetState(); ; state = conn.GetState() {
		switch {
		case state != connectivity.Ready:
			lost = seen
		case lost:
			lost = false
			s.mu.Lock()
			s.back = time.Now()
			close(s.epoch)
			s.epoch = make(chan struct{})
			s.mu.Unlock()
		default:
			seen = true
		}
		if !conn.WaitForStateChange(s.ctx, state) {
			return
		}
	}
}
