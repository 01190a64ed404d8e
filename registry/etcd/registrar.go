// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dubbogo/gost/log/logger"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/keeper"
)

// registrar keeps a set of keys in etcd under one lease. When the lease is lost or etcd
// was away everything is checked and written again.
type registrar struct {
	*keeper.Keeper
	shared *shared
	ttl    time.Duration

	// Of the Keeper's goroutine, and of Close after it.
	lease clientv3.LeaseID   // 0: none
	held  []clientv3.LeaseID // every lease ever held: what carries one of them is ours
	alive <-chan *clientv3.LeaseKeepAliveResponse
	back  <-chan struct{} // closed when etcd, once lost, is back
}

var _ keeper.Server = (*registrar)(nil)

func newRegistrar(s *shared, ttl time.Duration) *registrar {
	r := &registrar{shared: s, ttl: ttl}
	r.Keeper = keeper.New("etcd", s.address.endpoints, r)
	return r
}

// Reconnected returns when the connection was last back after it had been lost, zero if
// it never was.
func (r *registrar) Reconnected() time.Time { return r.shared.lastBack() }

// Close revokes the lease, so that everything goes at once, and gives the connection back.
func (r *registrar) Close(ctx context.Context) {
	defer r.shared.release()
	if !r.Stop(ctx) || r.lease == 0 {
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

// Explain implements [keeper.Server].
func (r *registrar) Explain(err error) error { return r.shared.explain(err) }

// Idle implements [keeper.Server].
func (r *registrar) Idle(ctx context.Context, kick <-chan struct{}, retry <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-kick:
			return
		case <-retry:
			return
		case <-r.back: // etcd was away: look whether everything is still there
			r.Lost()
			return
		case _, ok := <-r.alive:
			if ok {
				continue
			}
			r.loseLease()
			return
		}
	}
}

func (r *registrar) loseLease() {
	r.lease, r.alive = 0, nil
	if n := r.Lost(); n > 0 {
		logger.Warnf("[graylane] etcd %s: lease lost; writing %d registrations again", r.shared.address.endpoints, n)
	}
}

// batch is how many keys one transaction carries; etcd's own limit is 128
// comparisons, and a key needs two.
const batch = 50

// Round implements [keeper.Server].
func (r *registrar) Round(ctx context.Context) error {
	r.back = r.shared.reconnected() // before the round: a reconnect during it must not be missed
	puts, drops := r.Work()
	if len(puts)+len(drops) == 0 {
		return nil
	}
	c, err := r.shared.client(ctx)
	if err != nil {
		return err
	}
	if len(puts) > 0 && r.lease == 0 {
		if err := r.grant(ctx, c); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(puts, batch) {
		err := r.write(ctx, c, chunk)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) { // as when etcd came back without its data
			r.loseLease()
			r.Wake() // the next round grants a new one and writes everything
			return nil
		}
		if err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(drops, batch) {
		if err := r.erase(ctx, c, chunk); err != nil {
			return err
		}
	}
	return nil
}

// grant gets a lease and keeps it alive as long as life.
func (r *registrar) grant(life context.Context, c *clientv3.Client) error {
	ctx, cancel := context.WithTimeout(life, operation)
	defer cancel()
	lease, err := c.Grant(ctx, int64((r.ttl+time.Second-1)/time.Second))
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	if r.alive, err = c.KeepAlive(life, lease.ID); err != nil {
		return fmt.Errorf("keep lease alive: %w", err)
	}
	r.lease = lease.ID
	r.held = append(r.held, lease.ID)
	return nil
}

// write puts the entries that are not there under our lease yet. After a
// reconnect nearly all are: then nothing is written and nobody's watch fires.
func (r *registrar) write(ctx context.Context, c *clientv3.Client, entries []keeper.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, operation)
	defer cancel()
	same := make([]clientv3.Cmp, 0, 2*len(entries))
	puts := make([]clientv3.Op, 0, len(entries))
	for _, e := range entries {
		same = append(same,
			clientv3.Compare(clientv3.LeaseValue(e.Key), "=", int64(r.lease)),
			clientv3.Compare(clientv3.Value(e.Key), "=", e.Value))
		puts = append(puts, clientv3.OpPut(e.Key, e.Value, clientv3.WithLease(r.lease)))
	}
	if _, err := c.Txn(ctx).If(same...).Else(puts...).Commit(); err != nil {
		return fmt.Errorf("write %s: %w", entries[0].Key, err)
	}
	r.Wrote(entries...)
	return nil
}

// erase deletes keys, but only ours: a process that was restarted on the same
// address may have written the same key, and a deletion that comes late, after an
// outage say, must not take it out.
func (r *registrar) erase(ctx context.Context, c *clientv3.Client, keys []string) error {
	ctx, cancel := context.WithTimeout(ctx, operation)
	defer cancel()
	ours := make([]clientv3.Cmp, 0, len(keys))
	deletes := make([]clientv3.Op, 0, len(keys))
	for _, key := range keys {
		ours = append(ours, clientv3.Compare(clientv3.LeaseValue(key), "=", int64(r.lease)))
		deletes = append(deletes, clientv3.OpDelete(key))
	}
	done := false
	if r.lease != 0 { // 0 is what a key without a lease has, and one that is not there
		resp, err := c.Txn(ctx).If(ours...).Then(deletes...).Commit()
		if err != nil {
			return fmt.Errorf("delete %s: %w", keys[0], err)
		}
		done = resp.Succeeded
	}
	for i := 0; i < len(keys) && !done; i++ {
		if err := r.eraseOne(ctx, c, keys[i]); err != nil {
			return fmt.Errorf("delete %s: %w", keys[i], err)
		}
	}
	r.Erased(keys...)
	return nil
}

func (r *registrar) eraseOne(ctx context.Context, c *clientv3.Client, key string) error {
	got, err := c.Get(ctx, key)
	if err != nil || len(got.Kvs) == 0 {
		return err
	}
	kv := got.Kvs[0]
	if !slices.Contains(r.held, clientv3.LeaseID(kv.Lease)) {
		return nil // another process's
	}
	_, err = c.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(key), "=", kv.ModRevision)).
		Then(clientv3.OpDelete(key)).
		Commit()
	return err
}
