// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
	"github.com/dubbogo/gost/log/logger"
)

// registrar keeps a set of ephemeral nodes in ZooKeeper: what is wanted is written,
// what is no longer wanted is deleted, and a new session writes everything again.
//
// One goroutine does all the writing; it is started by the first put. Callers say what
// they want and wait, each with its own deadline.
type registrar struct {
	s      *shared
	ctx    context.Context
	cancel context.CancelFunc
	kick   chan struct{} // holds one token: there is something to do
	ended  chan struct{} // closed when the goroutine has ended; nil until it starts
	ear    *ear

	mu      sync.Mutex
	want    map[string]string  // node -> value that shall be there
	written map[string]written // node -> what is there
	drop    map[string]bool    // nodes that shall go
	held    map[int64]bool     // sessions that we had: what belongs to one of them is ours
	err     error              // why the last round failed, nil if it did not
	changed chan struct{}      // closed and replaced after every round
}

// written is what was written, and by which session.
type written struct {
	value   string
	session int64
}

func newRegistrar(s *shared) *registrar {
	r := &registrar{
		s: s, kick: make(chan struct{}, 1), changed: make(chan struct{}),
		want: make(map[string]string), written: make(map[string]written), drop: make(map[string]bool), held: make(map[int64]bool),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	r.ear = &ear{again: r.wake}
	s.listen(r.ear)
	return r
}

// put writes a node and keeps it there. If it cannot be written before ctx ends, the
// error says why and the former state is wanted again.
func (r *registrar) put(ctx context.Context, node, value string) error {
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return errClosed
	}
	before, had := r.want[node]
	r.want[node] = value
	delete(r.drop, node)
	if r.ended == nil {
		r.ended = make(chan struct{})
		go r.run()
	}
	r.mu.Unlock()
	r.wake()

	err := r.wait(ctx, func() bool { return r.written[node].value == value && r.written[node].session != 0 })
	if err == nil {
		return nil
	}
	r.mu.Lock()
	if r.want[node] == value {
		if had {
			r.want[node] = before
		} else {
			r.forget(node) // the write may have been executed although nobody answered
		}
	}
	r.mu.Unlock()
	r.wake()
	return err
}

// remove deletes a node and returns when it is gone. If that cannot be told before ctx
// ends, the error says why; the deletion goes on in the background.
func (r *registrar) remove(ctx context.Context, node string) error {
	r.mu.Lock()
	if r.ctx.Err() != nil {
		r.mu.Unlock()
		return nil // close takes everything out
	}
	if _, ok := r.want[node]; ok {
		r.forget(node)
	}
	pending := r.drop[node]
	r.mu.Unlock()
	if !pending {
		return nil
	}
	r.wake()
	return r.wait(ctx, func() bool { return !r.drop[node] })
}

// forget moves a node from want to drop. The caller holds mu.
func (r *registrar) forget(node string) {
	delete(r.want, node)
	delete(r.written, node)
	r.drop[node] = true
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
			return fmt.Errorf("zookeeper: registry %s did not answer within %v: %w", r.s.name(), time.Since(start).Round(time.Millisecond), cause)
		}
	}
}

// close ends the keeping and deletes everything, as far as ctx allows; what is left
// goes with the session.
func (r *registrar) close(ctx context.Context) {
	r.s.unlisten(r.ear)
	r.cancel()
	r.mu.Lock()
	ended := r.ended
	r.mu.Unlock()
	if ended == nil {
		return
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return
	}
	r.mu.Lock()
	for node := range r.want {
		r.forget(node)
	}
	r.mu.Unlock()
	if _, err := try(ctx, r.s, r.round); err != nil {
		logger.Warnf("[graylane] zookeeper %s: deregistration: %v; what is left goes with the session", r.s.name(), err)
	}
}

// run is the goroutine of the registrar.
func (r *registrar) run() {
	defer close(r.ended)
	for failures := 0; r.ctx.Err() == nil; {
		_, err := do(r.s, r.round)
		if r.ctx.Err() != nil {
			return
		}
		r.report(err, failures)
		if err != nil {
			sleep(r.ctx, failures)
			failures++
			continue
		}
		failures = 0
		select {
		case <-r.kick:
		case <-r.ctx.Done():
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
		logger.Warnf("[graylane] zookeeper %s: registration: %v; retrying", r.s.name(), err)
	case err == nil && failures > 0:
		logger.Infof("[graylane] zookeeper %s: all %d registrations are in place again", r.s.name(), n)
	}
}

// round makes ZooKeeper hold what is wanted, once.
func (r *registrar) round(c *zk.Conn, alive func()) (nothing, error) {
	// A session is known by an answer, not by what it was before a break.
	if _, _, err := c.Exists("/"); err != nil {
		return nothing{}, err
	}
	alive()
	session := c.SessionID()
	if session == 0 {
		return nothing{}, zk.ErrSessionExpired
	}
	r.mu.Lock()
	r.held[session] = true
	puts := make(map[string]string)
	for node, value := range r.want {
		if (r.written[node] != written{value, session}) {
			puts[node] = value
		}
	}
	var drops []string
	for node := range r.drop {
		drops = append(drops, node)
	}
	r.mu.Unlock()
	for node, value := range puts {
		if err := write(c, node, []byte(value), session); err != nil {
			return nothing{}, fmt.Errorf("write %s: %w", node, err)
		}
		alive()
		r.mu.Lock()
		if r.want[node] == value && !r.drop[node] {
			r.written[node] = written{value, session}
		}
		r.mu.Unlock()
	}
	for _, node := range drops {
		if err := r.erase(c, node); err != nil {
			return nothing{}, fmt.Errorf("delete %s: %w", node, err)
		}
		alive()
		r.mu.Lock()
		delete(r.drop, node)
		r.mu.Unlock()
	}
	return nothing{}, nil
}

// write makes an ephemeral node of the session. One that an earlier session left there
// is replaced in one step: nobody sees the address without an instance.
func write(c *zk.Conn, node string, value []byte, session int64) error {
	for range 3 { // again where somebody else was in between
		_, err := c.Create(node, value, zk.FlagEphemeral, zk.WorldACL(zk.PermAll))
		if errors.Is(err, zk.ErrNoNode) {
			if err = makeFolder(c, path.Dir(node)); err == nil {
				continue
			}
		}
		if !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
		old, stat, err := c.Get(node)
		switch {
		case errors.Is(err, zk.ErrNoNode):
			continue
		case err != nil:
			return err
		case stat.EphemeralOwner != session:
			_, err = c.Multi(
				&zk.DeleteRequest{Path: node, Version: stat.Version},
				&zk.CreateRequest{Path: node, Data: value, Flags: zk.FlagEphemeral, Acl: zk.WorldACL(zk.PermAll)},
			)
		case string(old) != string(value):
			_, err = c.Set(node, value, stat.Version)
		}
		if errors.Is(err, zk.ErrNoNode) || errors.Is(err, zk.ErrBadVersion) {
			continue
		}
		return err
	}
	return zk.ErrBadVersion
}

// makeFolder makes a folder and those above it.
func makeFolder(c *zk.Conn, folder string) error {
	parts := strings.Split(strings.TrimPrefix(folder, "/"), "/")
	for n := range parts {
		if _, err := c.Create("/"+strings.Join(parts[:n+1], "/"), nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return err
		}
	}
	return nil
}

// erase deletes a node that is ours. One that a process wrote which has the address
// now is not.
func (r *registrar) erase(c *zk.Conn, node string) error {
	there, stat, err := c.Exists(node)
	if err != nil || !there {
		return err
	}
	r.mu.Lock()
	ours := r.held[stat.EphemeralOwner]
	r.mu.Unlock()
	if !ours {
		return nil
	}
	if err = c.Delete(node, stat.Version); errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}
