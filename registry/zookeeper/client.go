// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/keeper"
)

const defaultPort = "2181"

// client is a session that is replaced when it has become useless. It is opened by the
// first use.
type client struct {
	// The following fields are immutable.
	servers []string      // host:port
	session time.Duration // asked for; the server bounds it
	giveUp  time.Duration // how long a server that takes connections may not give a session, or owe an answer
	hear    func(zk.Event)

	mu     sync.Mutex
	link   *link     // nil until it is needed
	alive  time.Time // when it was last seen with a session, or made
	closed bool
	ending sync.WaitGroup
}

// serversOf reads "host[:port][,host[:port]]"; a scheme in front is ignored.
func serversOf(location string) ([]string, error) {
	var out []string
	for part := range strings.SplitSeq(location, ",") {
		part = strings.TrimSpace(part)
		if _, rest, ok := strings.Cut(part, "://"); ok {
			part = rest
		}
		if part == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(part); err != nil {
			part = net.JoinHostPort(part, defaultPort)
		}
		out = append(out, part)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("address: got %q, want host:port[,host:port]", location)
	}
	slices.Sort(out) // however they are written, one set of servers is one session
	return slices.Compact(out), nil
}

func (c *client) name() string { return strings.Join(c.servers, ",") }

// current returns the session's client. It never waits for the session.
func (c *client) current() (*link, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, keeper.ErrDestroyed
	}
	if c.link == nil {
		hear := c.hear
		if hear == nil {
			hear = func(zk.Event) {}
		}
		l, err := newLink(c.servers, c.session, hear)
		if err != nil {
			return nil, err
		}
		c.link, c.alive = l, time.Now()
	}
	return c.link, nil
}

// look drops a client that has had no session for too long although there was somebody
// to give it one.
func (c *client) look(l *link) {
	refused := l.refused()
	c.mu.Lock()
	if c.link == l && l.conn.State() == zk.StateHasSession {
		c.alive = time.Now()
	}
	if refused.After(c.alive) { // what it has still may be good when the server is back
		c.alive = refused
	}
	late := time.Since(c.alive) > c.giveUp
	c.mu.Unlock()
	if late {
		c.drop(l)
	}
}

// drop ends a client, if it is still the one in use: its questions fail, its watches
// end, the next question makes a new one.
func (c *client) drop(l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.link == l {
		c.link = nil
		c.ending.Go(l.end)
	}
}

// bound drops the client if the server owes an answer for too long, until stop is
// called. Who asks for more than one thing calls alive after each answer: the time is
// that of one of them, however many there are.
func (c *client) bound(l *link) (alive, stop func()) {
	timer := time.AfterFunc(c.giveUp, func() { c.drop(l) })
	return func() { timer.Reset(c.giveUp) }, func() { timer.Stop() }
}

// close ends the session; nothing is to be asked any more.
func (c *client) close() {
	c.mu.Lock()
	l := c.link
	c.link, c.closed = nil, true
	c.mu.Unlock()
	switch {
	case l == nil:
	case l.conn.State() == zk.StateHasSession:
		l.conn.Close() // the server hears of it
	default:
		l.end()
	}
	c.ending.Wait()
}

// check asks the server for something. It returns nil, or one line with address and
// cause, as soon as the cause is certain, at the latest with ctx. A client that has just
// lost its connection or its session says that there is no server, whoever listens: that
// is no cause, and it is asked again.
func (c *client) check(ctx context.Context) error {
	for n := 0; ; n++ {
		if err := center.Dial(ctx, c.servers); err != nil {
			return fmt.Errorf("zookeeper %s cannot be reached: %w", c.name(), err)
		}
		err := c.checkOnce(ctx)
		if err == nil || errors.Is(err, zk.ErrNoAuth) {
			return nil
		}
		if passing(err) {
			center.Pause(ctx, n)
		}
		if !passing(err) || ctx.Err() != nil {
			return fmt.Errorf("zookeeper %s does not answer: %w", c.name(), err)
		}
	}
}

func (c *client) checkOnce(ctx context.Context) error {
	l, err := c.current()
	if err != nil {
		return err
	}
	answer := make(chan error, 1)
	go func() {
		_, stop := c.bound(l)
		defer stop()
		_, _, err := l.conn.Exists("/")
		answer <- err
	}()
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

// followNode calls tell with what a node holds, nil if there is none, as soon as it is
// known and after each change, until ctx ends. While the server cannot be asked nothing
// is told; kept says in the log what that means.
func (c *client) followNode(ctx context.Context, node, kept string, tell func(raw []byte)) {
	failures := 0
	for ctx.Err() == nil {
		l, err := c.current()
		var raw []byte
		var watch *zk.Watcher
		if err == nil {
			raw, watch, err = c.read(l, node)
		}
		if err != nil {
			if failures == 0 && ctx.Err() == nil {
				logger.Warnf("[graylane] zookeeper %s: read %s: %v; %s", c.name(), node, err, kept)
			}
			center.Pause(ctx, failures)
			failures++
			if l != nil {
				c.look(l)
			}
			continue
		}
		if failures > 0 {
			logger.Infof("[graylane] zookeeper %s: read %s again after %d failures", c.name(), node, failures)
			failures = 0
		}
		tell(raw)
		c.await(ctx, l, watch)
	}
}

// await returns when the node has changed or the watch has ended, which wants the
// node to be read again, or when ctx ends.
func (c *client) await(ctx context.Context, l *link, watch *zk.Watcher) {
	tick := time.NewTicker(c.giveUp / 3)
	defer tick.Stop()
	for {
		select {
		case <-watch.EvtCh:
			return
		case <-tick.C:
			c.look(l) // dropping it ends the watch
		case <-ctx.Done():
			// The watch stays until the next change: the client's RemoveWatcher is a
			// data race with its own reconnecting.
			return
		}
	}
}

// read returns what a node holds, nil if there is none, and a watch that was set
// before it was read: no change falls between.
func (c *client) read(l *link, node string) ([]byte, *zk.Watcher, error) {
	_, stop := c.bound(l)
	defer stop()
	for { // again only if the node is made between the two questions
		raw, _, watch, err := l.conn.GetW(node)
		if err == nil {
			return raw, watch, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return nil, nil, err
		}
		exists, _, watch, err := l.conn.ExistsW(node)
		if err != nil || !exists {
			return nil, watch, err
		}
	}
}
