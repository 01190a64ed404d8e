// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/keeper"
)

// registrar keeps a set of ephemeral nodes in ZooKeeper. A new session writes
// everything again.
type registrar struct {
	*keeper.Keeper
	s   *shared
	ear *ear

	// Of the Keeper's goroutine, and of Close after it.
	session int64          // the one that has written what is there
	held    map[int64]bool // sessions that we had: what belongs to one of them is ours
}

var _ keeper.Server = (*registrar)(nil)

func newRegistrar(s *shared) *registrar {
	r := &registrar{s: s, held: make(map[int64]bool)}
	r.Keeper = keeper.New("zookeeper", s.name(), r)
	r.ear = &ear{again: r.Wake}
	s.listen(r.ear)
	return r
}

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was.
func (r *registrar) Reconnected() time.Time { return r.s.reconnected() }

// Close deletes everything, as far as ctx allows, and gives the session back; what is
// left goes with it.
func (r *registrar) Close(ctx context.Context) {
	defer r.s.release()
	r.s.unlisten(r.ear)
	if !r.Stop(ctx) {
		return
	}
	r.DropAll()
	if _, err := try(ctx, r.s, r.round); err != nil {
		logger.Warnf("[graylane] zookeeper %s: deregistration: %v; what is left goes with the session", r.s.name(), err)
	}
}

// Explain implements [keeper.Server].
func (r *registrar) Explain(err error) error { return err }

// Idle implements [keeper.Server].
func (r *registrar) Idle(ctx context.Context, kick <-chan struct{}, retry <-chan time.Time) {
	select {
	case <-kick:
	case <-retry:
	case <-ctx.Done():
	}
}

// Round implements [keeper.Server].
func (r *registrar) Round(context.Context) error {
	_, err := do(r.s, r.round)
	return err
}

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
	if session != r.session {
		r.Lost()
		r.session = session
		r.held[session] = true
	}
	puts, drops := r.Work()
	for _, e := range puts {
		if err := write(c, e.Key, []byte(e.Value), session); err != nil {
			return nothing{}, fmt.Errorf("write %s: %w", e.Key, err)
		}
		alive()
		r.Wrote(e)
	}
	for _, node := range drops {
		if err := r.erase(c, node); err != nil {
			return nothing{}, fmt.Errorf("delete %s: %w", node, err)
		}
		alive()
		r.Erased(node)
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
	if !r.held[stat.EphemeralOwner] {
		return nil
	}
	if err = c.Delete(node, stat.Version); errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return err
}
