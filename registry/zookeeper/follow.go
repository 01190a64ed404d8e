// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"maps"
	"path"
	"slices"
	"sync"

	"github.com/dubbogo/go-zookeeper/zk"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/keeper"
)

// reading is how many nodes are read at once.
const reading = 16

// follower knows the nodes of one folder. Its fields below mu belong to the goroutine
// that follows.
type follower struct {
	s      *shared
	folder string
	values bool // what the nodes hold is wanted, too

	mu    sync.Mutex
	fired bool            // the folder has changed
	stale map[string]bool // nodes that have changed
	gap   bool            // events may have been lost
	kick  chan struct{}   // holds one token: one of these is set

	link    *link
	session int64
	watched bool // the server will tell of the folder's next change
	names   []string
	known   map[string]string // of which the server will tell the next change
}

// follow calls tell with all nodes of a folder, in order of their names, as soon as
// they are known and after each change, until ctx ends. gap says that what is missing
// since the last time need not have gone by an event of its own: the connection was
// lost in between, or there was no last time. While the server cannot be asked nothing
// is told.
func (s *shared) follow(ctx context.Context, folder string, values bool, tell func(list []keeper.Entry, gap bool)) {
	f := &follower{s: s, folder: folder, values: values, gap: true, kick: make(chan struct{}, 1)}
	e := &ear{folder: folder, node: f.changed, again: f.lost}
	s.listen(e)
	defer s.unlisten(e)
	for failures := 0; ctx.Err() == nil; {
		list, gap, err := f.read()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if failures == 0 {
				logger.Warnf("[graylane] zookeeper %s: read %s: %v; the last known list stays in use", s.name(), folder, err)
			}
			center.Pause(ctx, failures)
			failures++
			continue
		}
		if failures > 0 {
			logger.Infof("[graylane] zookeeper %s: read %s again after %d failures", s.name(), folder, failures)
			failures = 0
		}
		tell(list, gap)
		select {
		case <-f.kick:
		case <-ctx.Done():
		}
	}
}

// changed and lost are called by the session.
func (f *follower) changed(node string) {
	f.mu.Lock()
	if node == f.folder {
		f.fired = true
	} else {
		if f.stale == nil {
			f.stale = make(map[string]bool)
		}
		f.stale[path.Base(node)] = true
	}
	f.mu.Unlock()
	f.wake()
}

func (f *follower) lost() {
	f.mu.Lock()
	f.gap = true
	f.mu.Unlock()
	f.wake()
}

func (f *follower) wake() {
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// read brings the follower up to date. It asks only for what may have changed. A
// session that goes on takes its watches along, a new one has none.
func (f *follower) read() (list []keeper.Entry, gap bool, err error) {
	f.mu.Lock()
	fired, stale, gap := f.fired, f.stale, f.gap
	f.fired, f.stale, f.gap = false, nil, false
	f.mu.Unlock()
	if fired {
		f.watched = false
	}
	for name := range stale {
		delete(f.known, name)
	}
	if err := f.update(gap); err != nil {
		f.mu.Lock()
		f.gap = f.gap || gap
		f.mu.Unlock()
		return nil, false, err
	}
	for _, name := range f.names {
		value, ok := f.known[name]
		if ok || !f.values {
			list = append(list, keeper.Entry{Key: name, Value: value})
		}
	}
	return list, gap, nil
}

func (f *follower) update(gap bool) error {
	l, err := f.s.current()
	if err != nil {
		return err
	}
	alive, stop := f.s.bound(l)
	defer stop()
	if session := l.conn.SessionID(); l != f.link || session != f.session || session == 0 {
		f.link, f.watched, f.known = l, false, make(map[string]string)
	}
	switch {
	case !f.watched:
		if f.names, err = childrenW(l.conn, f.folder); err != nil {
			return err
		}
		f.watched = true
		// Before the first answer there was no session to ask for.
		if f.session = l.conn.SessionID(); f.session == 0 {
			return zk.ErrSessionExpired
		}
	case gap:
		if f.names, err = children(l.conn, f.folder); err != nil {
			return err
		}
	}
	alive()
	if !f.values {
		return nil
	}
	maps.DeleteFunc(f.known, func(name, _ string) bool { return !slices.Contains(f.names, name) })
	var missing []string
	for _, name := range f.names {
		if _, ok := f.known[name]; !ok {
			missing = append(missing, name)
		}
	}
	return readNodes(missing, f.known, alive, func(name string) ([]byte, error) {
		raw, _, _, err := l.conn.GetW(f.folder + "/" + name)
		return raw, err
	})
}

// readNodes puts what nodes hold into known, some read at once. alive is called after
// each answer. One that is not there is left out.
func readNodes(names []string, known map[string]string, alive func(), get func(name string) ([]byte, error)) error {
	type answer struct {
		keeper.Entry
		err error
	}
	answers := make(chan answer, len(names))
	limit := make(chan struct{}, reading)
	for _, name := range names {
		go func() {
			limit <- struct{}{}
			raw, err := get(name)
			<-limit
			answers <- answer{keeper.Entry{Key: name, Value: string(raw)}, err}
		}()
	}
	var failed error
	for range names {
		a := <-answers
		alive()
		switch {
		case a.err == nil:
			known[a.Key] = a.Value
		case !errors.Is(a.err, zk.ErrNoNode): // one that has gone meanwhile is told by the folder
			failed = a.err
		}
	}
	return failed
}

// childrenW lists a folder, which need not be there, and has the server tell of its
// next change.
func childrenW(c *zk.Conn, folder string) ([]string, error) {
	for { // again only if the folder is made between the two questions
		names, _, _, err := c.ChildrenW(folder)
		if err == nil {
			slices.Sort(names)
			return names, nil
		}
		if !errors.Is(err, zk.ErrNoNode) {
			return nil, err
		}
		exists, _, _, err := c.ExistsW(folder)
		if err != nil || !exists {
			return nil, err
		}
	}
}

func children(c *zk.Conn, folder string) ([]string, error) {
	names, _, err := c.Children(folder)
	if errors.Is(err, zk.ErrNoNode) {
		return nil, nil
	}
	slices.Sort(names)
	return names, err
}

// list reads a folder once, within the time of ctx.
func (s *shared) list(ctx context.Context, folder string, values bool) ([]keeper.Entry, error) {
	return try(ctx, s, func(c *zk.Conn, alive func()) ([]keeper.Entry, error) {
		names, err := children(c, folder)
		if err != nil {
			return nil, err
		}
		alive()
		known := make(map[string]string, len(names))
		if values {
			err = readNodes(names, known, alive, func(name string) ([]byte, error) {
				if ctx.Err() != nil { // nobody waits for it any more
					return nil, ctx.Err()
				}
				raw, _, err := c.Get(folder + "/" + name)
				return raw, err
			})
			if err != nil {
				return nil, err
			}
		}
		list := make([]keeper.Entry, 0, len(names))
		for _, name := range names {
			if value, ok := known[name]; ok || !values {
				list = append(list, keeper.Entry{Key: name, Value: value})
			}
		}
		return list, nil
	})
}
