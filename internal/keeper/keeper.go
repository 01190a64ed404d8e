// SPDX-License-Identifier: Apache-2.0

// Package keeper keeps a set of entries in a registry that is a tree, etcd or
// ZooKeeper: what is wanted is written, what is no longer wanted is deleted, what was
// lost is written again, and a registry that cannot be asked is asked again after 100 ms,
// doubling to 1 s.
//
// How an entry is written is the registry's; a Keeper knows what is wanted and what is
// there. One goroutine does all the writing; the first Put starts it and Stop ends it.
// A Keeper is safe for concurrent use: callers say what they want and wait, each with
// its own deadline. It runs on the real clock.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
)

// ErrDestroyed reports that the registry object was destroyed. Match it with [errors.Is].
var ErrDestroyed = errors.New("the registry object was destroyed")

// Entry is one key and its value.
type Entry struct{ Key, Value string }

// A Server is the registry's part of a Keeper. Its methods are called from the Keeper's
// goroutine only.
type Server interface {
	// Round makes the registry hold what [Keeper.Work] says, once, and tells what it has
	// done by [Keeper.Wrote] and [Keeper.Erased].
	Round(ctx context.Context) error

	// Idle returns when kick or retry say so, ctx ends, or something has happened that
	// wants a round.
	Idle(ctx context.Context, kick <-chan struct{}, retry <-chan time.Time)

	// Explain adds to an error of Round what the network says of it.
	Explain(err error) error
}

// Keeper is one set of entries.
type Keeper struct {
	kind, address string // "etcd", "host:port": for log lines and errors
	server        Server
	ctx           context.Context // ends with Stop
	cancel        context.CancelFunc
	kick          chan struct{} // holds one token: there is something to do
	ended         chan struct{} // closed when the goroutine has ended; nil until it starts

	mu      sync.Mutex
	want    map[string]string   // key -> value that shall be there
	written map[string]string   // key -> value that is there, and will stay
	drop    map[string]struct{} // keys that shall go
	err     error               // why the last round failed, nil if it did not
	changed chan struct{}       // closed and replaced after every round
}

// New returns a Keeper without entries. Log lines and errors name the registry by kind
// ("etcd") and address.
func New(kind, address string, server Server) *Keeper {
	k := &Keeper{
		kind: kind, address: address, server: server,
		kick: make(chan struct{}, 1), changed: make(chan struct{}),
		want: make(map[string]string), written: make(map[string]string), drop: make(map[string]struct{}),
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Put writes an entry and keeps it there. If it cannot be written before ctx ends, the
// error says why and the former state is wanted again.
func (k *Keeper) Put(ctx context.Context, key, value string) error {
	k.mu.Lock()
	if k.ctx.Err() != nil {
		k.mu.Unlock()
		return ErrDestroyed
	}
	before, had := k.want[key]
	k.want[key] = value
	delete(k.drop, key)
	k.Wake()
	if k.ended == nil {
		k.ended = make(chan struct{})
		go k.run()
	}
	k.mu.Unlock()

	err := k.wait(ctx, func() bool { return k.present(key, value) })
	if err == nil {
		return nil
	}
	k.mu.Lock()
	if k.want[key] == value { // the write may have been executed although nobody answered
		if had {
			k.want[key] = before
			delete(k.written, key)
		} else {
			k.forget(key)
		}
	}
	k.mu.Unlock()
	k.Wake()
	return err
}

// Remove deletes an entry and returns when it is gone. If that cannot be told before ctx
// ends, the error says why; the deletion goes on in the background.
func (k *Keeper) Remove(ctx context.Context, key string) error {
	k.mu.Lock()
	if k.ctx.Err() != nil {
		k.mu.Unlock()
		return nil // whoever stops the Keeper takes everything out
	}
	if _, ok := k.want[key]; ok {
		k.forget(key)
	}
	_, pending := k.drop[key]
	k.mu.Unlock()
	if !pending {
		return nil
	}
	k.Wake()
	return k.wait(ctx, func() bool { _, pending := k.drop[key]; return !pending })
}

// forget moves key from want to drop. The caller holds mu.
func (k *Keeper) forget(key string) {
	delete(k.want, key)
	delete(k.written, key)
	k.drop[key] = struct{}{}
}

// present reports whether key is there with value. The caller holds mu.
func (k *Keeper) present(key, value string) bool {
	got, ok := k.written[key]
	return ok && got == value
}

// Wake asks for a round.
func (k *Keeper) Wake() {
	select {
	case k.kick <- struct{}{}:
	default:
	}
}

// wait returns nil when done, called with mu held, says so.
func (k *Keeper) wait(ctx context.Context, done func() bool) error {
	start := time.Now()
	for {
		k.mu.Lock()
		ok, changed, cause := done(), k.changed, k.err
		k.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-k.ctx.Done():
			return ErrDestroyed
		case <-ctx.Done():
			if cause == nil {
				cause = ctx.Err()
			}
			return fmt.Errorf("%s: registry %s did not answer within %v: %w",
				k.kind, k.address, time.Since(start).Round(time.Millisecond), k.server.Explain(cause))
		}
	}
}

// Stop ends the keeping and returns when nothing is written any more, or ctx has ended.
// It reports whether anything may have been written; taking that out is the caller's.
func (k *Keeper) Stop(ctx context.Context) bool {
	k.cancel()
	k.mu.Lock()
	ended := k.ended
	k.mu.Unlock()
	if ended == nil {
		return false
	}
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// DropAll makes everything that is wanted something that shall go.
func (k *Keeper) DropAll() {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key := range k.want {
		k.forget(key)
	}
}

// run is the goroutine of the Keeper.
func (k *Keeper) run() {
	defer close(k.ended)
	failures := 0
	for k.ctx.Err() == nil {
		select {
		case <-k.kick: // the round sees what that was for
		default:
		}
		err := k.server.Round(k.ctx)
		if k.ctx.Err() != nil {
			return
		}
		k.report(err, failures)
		var retry <-chan time.Time
		if err == nil {
			failures = 0
		} else {
			retry = time.After(center.Delay(failures))
			failures++
		}
		k.server.Idle(k.ctx, k.kick, retry)
	}
}

// report publishes how a round went and wakes the waiting callers.
func (k *Keeper) report(err error, failures int) {
	k.mu.Lock()
	k.err = err
	close(k.changed)
	k.changed = make(chan struct{})
	n := len(k.want)
	k.mu.Unlock()
	switch {
	case err != nil && failures == 0:
		logger.Warnf("[graylane] %s %s: registration: %v; retrying", k.kind, k.address, k.server.Explain(err))
	case err == nil && failures > 0:
		logger.Infof("[graylane] %s %s: all %d registrations are in place again", k.kind, k.address, n)
	}
}
