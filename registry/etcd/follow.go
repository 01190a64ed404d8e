// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dubbogo/gost/log/logger"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/keeper"
)

// change is one event of a watch.
type change struct {
	keeper.Entry
	deleted bool
}

// follower is told what is under a key. Both functions are called from follow's
// goroutine. A list replaces everything before it.
type follower struct {
	list    func([]keeper.Entry)
	changes func([]change)
}

// read returns what is under key, sorted by key, and the revision it was true at.
func (s *shared) read(ctx context.Context, key string, opts ...clientv3.OpOption) ([]keeper.Entry, int64, error) {
	c, err := s.client(ctx)
	if err != nil {
		return nil, 0, err
	}
	resp, err := c.Get(ctx, key, opts...)
	if err != nil {
		return nil, 0, fmt.Errorf("read %s: %w", key, err)
	}
	list := make([]keeper.Entry, 0, len(resp.Kvs))
	for _, kv := range resp.Kvs {
		list = append(list, keeper.Entry{Key: string(kv.Key), Value: string(kv.Value)})
	}
	slices.SortFunc(list, func(a, b keeper.Entry) int { return strings.Compare(a.Key, b.Key) })
	return list, resp.Header.Revision, nil
}

// follow reads what is under key and then watches it, until ctx ends. After
// anything that could have lost an event (a compaction, a lost leader, a
// connection that was down) it reads again and hands over the whole list. A read
// that fails is logged once and repeated; the follower is not told, so that it
// keeps what it has.
func (s *shared) follow(ctx context.Context, key string, f follower, opts ...clientv3.OpOption) {
	failures := 0
	for ctx.Err() == nil {
		back := s.reconnected() // before the read: a reconnect during it must not be missed
		rctx, cancel := context.WithTimeout(ctx, operation)
		list, revision, err := s.read(rctx, key, opts...)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			if failures == 0 {
				logger.Warnf("[graylane] etcd %s: %v; the last known list stays in use", s.address.endpoints, s.explain(err))
			}
			center.Wait(ctx, center.Delay(failures), back)
			failures++
			continue
		}
		if failures > 0 {
			logger.Infof("[graylane] etcd %s: read %s again after %d failures", s.address.endpoints, key, failures)
			failures = 0
		}
		f.list(list)
		if s.watch(ctx, key, revision+1, back, f, opts...) {
			continue
		}
		center.Wait(ctx, center.Delay(0), back) // an etcd that refuses watches must not make us spin
	}
}

// watch hands over changes from revision on and returns when the watch can no
// longer be trusted: true after a reconnect, false after an error.
func (s *shared) watch(ctx context.Context, key string, revision int64, back <-chan struct{}, f follower, opts ...clientv3.OpOption) bool {
	c, err := s.client(ctx)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	opts = append(slices.Clone(opts), clientv3.WithRev(revision))
	events := c.Watch(ctx, key, opts...)
	for {
		select {
		case <-ctx.Done():
			return false
		case <-back:
			return true
		case resp, ok := <-events:
			if !ok || resp.Err() != nil {
				return false
			}
			if len(resp.Events) == 0 {
				continue
			}
			changes := make([]change, 0, len(resp.Events))
			for _, e := range resp.Events {
				changes = append(changes, change{
					Entry:   keeper.Entry{Key: string(e.Kv.Key), Value: string(e.Kv.Value)},
					deleted: e.Type == clientv3.EventTypeDelete,
				})
			}
			f.changes(changes)
		}
	}
}
