// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// batch is how many keys one transaction carries; etcd's own limit is 128
// comparisons, and a key needs two.
const batch = 50

// round makes etcd hold what is wanted, once.
func (r *registrar) round(alive *<-chan *clientv3.LeaseKeepAliveResponse) error {
	puts, drops := r.work()
	if len(puts)+len(drops) == 0 {
		return nil
	}
	c, err := r.shared.client(r.ctx)
	if err != nil {
		return err
	}
	if len(puts) > 0 && r.lease == 0 {
		if err := r.grant(c, alive); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(puts, batch) {
		err := r.write(c, chunk)
		if errors.Is(err, rpctypes.ErrLeaseNotFound) { // as when etcd came back without its data
			r.loseLease()
			r.wake() // the next round grants a new one and writes everything
			return nil
		}
		if err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(drops, batch) {
		if err := r.erase(c, chunk); err != nil {
			return err
		}
	}
	return nil
}

// grant gets a lease and keeps it alive.
func (r *registrar) grant(c *clientv3.Client, alive *<-chan *clientv3.LeaseKeepAliveResponse) error {
	ctx, cancel := context.WithTimeout(r.ctx, operation)
	defer cancel()
	lease, err := c.Grant(ctx, int64((r.ttl+time.Second-1)/time.Second))
	if err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	ch, err := c.KeepAlive(r.ctx, lease.ID)
	if err != nil {
		return fmt.Errorf("keep lease alive: %w", err)
	}
	*alive = ch
	r.mu.Lock()
	r.lease = lease.ID
	r.held = append(r.held, lease.ID)
	r.mu.Unlock()
	return nil
}

// write puts the entries that are not there under our lease yet. After a
// reconnect nearly all are: then nothing is written and nobody's watch fires.
func (r *registrar) write(c *clientv3.Client, entries []entry) error {
	ctx, cancel := context.WithTimeout(r.ctx, operation)
	defer cancel()
	same := make([]clientv3.Cmp, 0, 2*len(entries))
	puts := make([]clientv3.Op, 0, len(entries))
	for _, e := range entries {
		same = append(same,
			clientv3.Compare(clientv3.LeaseValue(e.key), "=", int64(r.lease)),
			clientv3.Compare(clientv3.Value(e.key), "=", e.value))
		puts = append(puts, clientv3.OpPut(e.key, e.value, clientv3.WithLease(r.lease)))
	}
	if _, err := c.Txn(ctx).If(same...).Else(puts...).Commit(); err != nil {
		return fmt.Errorf("write %s: %w", entries[0].key, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		if r.want[e.key] == e.value {
			r.written[e.key] = e.value
		}
	}
	return nil
}

// erase deletes keys, but only ours: a process that was restarted on the same
// address may have written the same key, and a deletion that comes late, after an
// outage say, must not take it out.
func (r *registrar) erase(c *clientv3.Client, entries []entry) error {
	ctx, cancel := context.WithTimeout(r.ctx, operation)
	defer cancel()
	ours := make([]clientv3.Cmp, 0, len(entries))
	deletes := make([]clientv3.Op, 0, len(entries))
	for _, e := range entries {
		ours = append(ours, clientv3.Compare(clientv3.LeaseValue(e.key), "=", int64(r.lease)))
		deletes = append(deletes, clientv3.OpDelete(e.key))
	}
	done := false
	if r.lease != 0 { // 0 is what a key without a lease has, and one that is not there
		resp, err := c.Txn(ctx).If(ours...).Then(deletes...).Commit()
		if err != nil {
			return fmt.Errorf("delete %s: %w", entries[0].key, err)
		}
		done = resp.Succeeded
	}
	for i := 0; i < len(entries) && !done; i++ {
		if err := r.eraseOne(ctx, c, entries[i].key); err != nil {
			return fmt.Errorf("delete %s: %w", entries[i].key, err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range entries {
		delete(r.drop, e.key)
		delete(r.written, e.key) // wanted again meanwhile: the next round writes it
	}
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
