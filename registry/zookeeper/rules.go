// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/go-zookeeper/zk"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
)

const (
	defaultPort = "2181"
	// session is what we ask for; the server bounds it. A shorter one finds a dead
	// server sooner, a longer one survives a longer outage without reading again.
	session = 10 * time.Second
	// defaultGiveUp is how long a client may be without a session, or owe an answer,
	// before it is ended and another one made: a server that has lost its data turns
	// away clients that have seen more than it has, for ever and without a word to
	// their watches; one that accepts and does not answer, as ZooKeeper may while it
	// starts, is waited for by the client for 67 s.
	defaultGiveUp = 15 * time.Second
	// java is the group of Dubbo Java and dubbo-admin, and dubbo-go's where no
	// namespace is set.
	java = "dubbo"
)

// rules is a [center.Source] on a session of its own.
type rules struct {
	servers []string // host:port
	groups  []string
	root    string
	base64  bool
	giveUp  time.Duration

	mu     sync.Mutex
	link   *link     // nil until it is needed
	alive  time.Time // when it was last seen with a session, or made
	ending sync.WaitGroup
}

var _ center.Source = (*rules)(nil)

// newRules reads what dubbo-go's own config centre reads: address, namespace,
// and the parameters config-center.root-path and base64.
func newRules(u *common.URL) (*rules, error) {
	r := &rules{giveUp: defaultGiveUp, root: "/" + strings.Trim(u.GetParam(constant.ConfigRootPathParamKey, "/dubbo/config"), "/")}
	for part := range strings.SplitSeq(u.Location, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(part); err != nil {
			part = net.JoinHostPort(part, defaultPort)
		}
		r.servers = append(r.servers, part)
	}
	if len(r.servers) == 0 {
		return nil, fmt.Errorf("address: got %q, want host:port[,host:port]", u.Location)
	}
	if text := u.GetParam("base64", ""); text != "" {
		var err error
		if r.base64, err = strconv.ParseBool(text); err != nil {
			return nil, fmt.Errorf("params.base64: got %q, want true or false", text)
		}
	}
	// dubbo-go reads rules in the folder of its namespace, whatever the group.
	r.groups = slices.Compact([]string{u.GetParam(constant.ConfigNamespaceKey, java), java})
	return r, nil
}

// Groups implements [center.Source].
func (r *rules) Groups() []string { return r.groups }

// current returns the session's client. It never waits for the session.
func (r *rules) current() (*link, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == nil {
		l, err := newLink(r.servers)
		if err != nil {
			return nil, err
		}
		r.link, r.alive = l, time.Now()
	}
	return r.link, nil
}

// look drops a client that has had no session for too long.
func (r *rules) look(l *link) {
	r.mu.Lock()
	if r.link == l && l.conn.State() == zk.StateHasSession {
		r.alive = time.Now()
	}
	late := time.Since(r.alive) > r.giveUp
	r.mu.Unlock()
	if late {
		r.drop(l)
	}
}

// drop ends a client, if it is still the one in use: its questions fail, its watches
// end, the next question makes a new one.
func (r *rules) drop(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.link == l {
		r.link = nil
		r.ending.Go(l.end)
	}
}

// bound drops the client if what follows takes too long, until stop is called.
func (r *rules) bound(l *link) (stop func() bool) {
	return time.AfterFunc(r.giveUp, func() { r.drop(l) }).Stop
}

// Follow implements [center.Source].
func (r *rules) Follow(ctx context.Context, group, key string, tell func(text string)) {
	node := path.Join(r.root, group, key)
	failures := 0
	for ctx.Err() == nil {
		l, err := r.current()
		var text string
		var watch *zk.Watcher
		if err == nil {
			text, watch, err = r.read(l, node)
		}
		if err != nil {
			if failures == 0 && ctx.Err() == nil {
				logger.Warnf("[graylane] zookeeper %s: read %s: %v; the last known rule stays in use", strings.Join(r.servers, ","), node, err)
			}
			center.Pause(ctx, failures)
			failures++
			if l != nil {
				r.look(l)
			}
			continue
		}
		if failures > 0 {
			logger.Infof("[graylane] zookeeper %s: read %s again after %d failures", strings.Join(r.servers, ","), node, failures)
			failures = 0
		}
		tell(text)
		r.await(ctx, l, watch)
	}
}

// await returns when the node has changed or the watch has ended, which wants the
// node to be read again, or when ctx ends.
func (r *rules) await(ctx context.Context, l *link, watch *zk.Watcher) {
	tick := time.NewTicker(r.giveUp / 3)
	defer tick.Stop()
	for {
		select {
		case <-watch.EvtCh:
			return
		case <-tick.C:
			r.look(l) // dropping it ends the watch
		case <-ctx.Done():
			// The watch stays until the next change: the client's RemoveWatcher is a
			// data race with its own reconnecting.
			return
		}
	}
}

// read returns the text of a node, "" if there is none, and a watch that was set
// before the text was read: no change falls between.
func (r *rules) read(l *link, node string) (string, *zk.Watcher, error) {
	defer r.bound(l)()
	for { // again only if the node is made between the two questions
		raw, _, watch, err := l.conn.GetW(node)
		if err == nil {
			return r.decode(raw), watch, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return "", nil, err
		}
		exists, _, watch, err := l.conn.ExistsW(node)
		if err != nil || !exists {
			return "", watch, err
		}
	}
}

// decode returns the text of a node. What is not base64 stays as it is: the decoder
// of rules says what is wrong with it.
func (r *rules) decode(raw []byte) string {
	if r.base64 {
		if text, err := base64.StdEncoding.DecodeString(string(raw)); err == nil {
			return string(text)
		}
	}
	return string(raw)
}

// Check implements [center.Source].
func (r *rules) Check(ctx context.Context) error {
	if err := center.Dial(ctx, r.servers); err != nil {
		return fmt.Errorf("zookeeper %s cannot be reached: %w", strings.Join(r.servers, ","), err)
	}
	l, err := r.current()
	if err != nil {
		return fmt.Errorf("zookeeper %s: %w", strings.Join(r.servers, ","), err)
	}
	answer := make(chan error, 1)
	go func() {
		defer r.bound(l)()
		_, _, err := l.conn.Exists("/")
		answer <- err
	}()
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil || errors.Is(err, zk.ErrNoAuth) {
		return nil
	}
	return fmt.Errorf("zookeeper %s does not answer: %w", strings.Join(r.servers, ","), err)
}

// Close implements [center.Source].
func (r *rules) Close() {
	r.mu.Lock()
	l := r.link
	r.link = nil
	r.mu.Unlock()
	switch {
	case l == nil:
	case l.conn.State() == zk.StateHasSession:
		l.conn.Close() // the server hears of it
	default:
		l.end()
	}
	r.ending.Wait()
}
