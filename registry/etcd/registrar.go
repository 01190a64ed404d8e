// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/dubbogo/gost/log/logger"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// registrar keeps a set of keys in etcd under one lease: what is wanted is
// written, what is no longer wanted is deleted, and when the lease is lost or
// etcd was away everything is checked and written again.
//
// One goroutine does all the writing; it is started by the first put. Callers say
// what they want and wait, each with its own deadline.
type registrar struct {
	shared *shared
	ttl    time.Duration
	ctx    context.Context
	cancel context.CancelFunc
	kick   chan struct{} // holds one token: there is something to do
	ended  chan struct{} // closed when the goroutine has ended; nil until it starts

	mu      sync.Mutex
	want    map[string]string   // key -> value that shall be there
	written map[string]string   // key -> value that is there under the lease
	drop    map[string]struct{} // keys that shall go
	err     error               // why the last round failed, nil if it did not
	changed chan struct{}       // closed and replaced after every round
	lease   clientv3.LeaseID    // 0: none
	held    []clientv3.LeaseID  // every lease ever held: what carries one of them is ours
}

func newRegistrar(s *shared, ttl time.Duration) *registrar {
	r := &registrar{
		shared: s, ttl: ttl,
		kick:    make(chan struct{}, 1),
		want:    make(map[string]string),
		written: make(map[string]string),
		drop:    make(map[string]struct{}),
		changed: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// put writes key and keeps it there. If it cannot be written before ctx ends, the
// error says why and the former state is wanted again.
func (r *registrar) put(ctx context.Context, key, value string) error {
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return errClosed
	}
	before, had := r.want[key]
	r.want[key] = value
	delete(r.drop, key)
	if r.ended == nil {
		r.ended = make(chan struct{})
		go r.run()
	}
	r.mu.Unlock()
	r.wake()

	err := r.wait(ctx, func() bool { return r.present(key, value) })
	if err == nil {
		return nil
	}
	r.mu.Lock()
	if r.want[key] == value {
		if had {
			r.want[key] = before
		} else {
			// The write may have been executed although nobody answered.
			r.forget(key)
		}
	}
	r.mu.Unlock()
	r.wake()
	return err
}

// remove deletes key and returns when it is gone. If that cannot be told before
// ctx ends, the error says why; the deletion goes on in the background.
func (r *registrar) remove(ctx context.Context, key string) error {
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return nil // close takes everything out
	}
	if _, ok := r.want[key]; ok {
		r.forget(key)
	}
	_, pending := r.drop[key]
	r.mu.Unlock()
	if !pending {
		return nil
	}
	r.wake()
	return r.wait(ctx, func() bool { _, pending := r.drop[key]; return !pending })
}

// forget moves key from want to drop. The caller holds mu.
func (r *registrar) forget(key string) {
	delete(r.want, key)
	delete(r.written, key)
	r.drop[key] = struct{}{}
}

// present reports whether key is there with value. The caller holds mu.
func (r *registrar) present(key, value string) bool {
	got, ok := r.written[key]
	return ok && got == value
}

func (r *registrar) wake() {
	select {
	case r.kick <- struct{}{}:
	default:
	}
}

// wait returns nil when done, called with mu held, says so.
func (r *registrar) wait(ctx context.Context, done func() bool) error {
	start := time.Now()
	for {
		r.mu.Lock()
		ok, changed, cause := done(), r.changed, r.err
		r.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return errClosed
		case <-ctx.Done():
			if cause == nil {
				cause = ctx.Err()
			}
			return fmt.Errorf("etcd: registry %s did not answer within %v: %w",
				r.shared.address.endpoints, time.Since(start).Round(time.Millisecond), r.shared.explain(cause))
		}
	}
}

// close ends the keeping and revokes the lease, so that everything goes at once;
// it returns when that is done or ctx has ended.
func (r *registrar) close(ctx context.Context) {
	r.cancel()
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if ended == nil {
		return
	}
	<-ended
	if r.lease == 0 {
		return
	}
	c, err := r.shared.client(ctx)
	if err == nil {
		_, err = c.Revoke(ctx, r.lease)
	}
	if err != nil {
		logger.Warnf("[graylane] etcd %s: revoke lease: %v; its keys go within %v", r.shared.address.endpoints, err, r.ttl)
	}
}

// run is the goroutine of the registrar.
func (r *registrar) run() {
	defer close(r.ended)
	var alive <-chan *clientv3.LeaseKeepAliveResponse
	failures := 0
	for r.ctx.Err() == nil {
		back := r.shared.reconnected() // before the round: a reconnect during it must not be missed
		err := r.round(&alive)
		if r.ctx.Err() != nil {
			return
		}
		r.report(err, failures)
		var retry <-chan time.Time
		if err == nil {
			failures = 0
		} else {
			retry = time.After(retryDelay(failures))
			failures++
		}
		r.idle(&alive, back, retry)
	}
}

// idle waits until there is something to do.
func (r *registrar) idle(alive *<-chan *clientv3.LeaseKeepAliveResponse, back <-chan struct{}, retry <-chan time.Time) {
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-r.kick:
			return
		case <-retry:
			return
		case <-back: // etcd was away: look whether everything is still there
			r.unwrite()
			return
		case _, ok := <-*alive:
			if ok {
				continue
			}
			*alive = nil
			r.loseLease()
			return
		}
	}
}

// report publishes how a round went and wakes the waiting callers.
func (r *registrar) report(err error, failures int) {
	r.mu.Lock()
	r.err = err
	close(r.changed)
	r.changed = make(chan struct{})
	n := len(r.want)
	r.mu.Unlock()
	switch {
	case err != nil && failures == 0:
		logger.Warnf("[graylane] etcd %s: registration: %v; retrying", r.shared.address.endpoints, r.shared.explain(err))
	case err == nil && failures > 0:
		logger.Infof("[graylane] etcd %s: all %d registrations are in place again", r.shared.address.endpoints, n)
	}
}

func (r *registrar) unwrite() {
	r.mu.Lock()
	clear(r.written)
	r.mu.Unlock()
}

func (r *registrar) loseLease() {
	r.mu.Lock()
	r.lease = 0
	n := len(r.want)
	clear(r.written)
	r.mu.Unlock()
	if n > 0 {
		logger.Warnf("[graylane] etcd %s: lease lost; writing %d registrations again", r.shared.address.endpoints, n)
	}
}

// work is what a round has to do.
func (r *registrar) work() (puts, drops []entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, value := range r.want {
		if !r.present(key, value) {
			puts = append(puts, entry{key, value})
		}
	}
	for key := range maps.Keys(r.drop) {
		drops = append(drops, entry{key: key})
	}
	return puts, drops
}
