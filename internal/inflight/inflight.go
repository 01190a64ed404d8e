// SPDX-License-Identifier: Apache-2.0

// Package inflight counts calls in flight and lets one wait until there is none.
//
// Waiting is event-driven: the call that brings the count to zero wakes the
// waiters; nothing polls. A [Counter] is safe for concurrent use; Add and Done
// take no lock while nobody waits, and never allocate.
package inflight

import (
	"context"
	"sync"
	"sync/atomic"
)

// Counter counts what has begun and not ended. The zero value is ready to use;
// it must not be copied.
type Counter struct {
	n       atomic.Int64
	waiters atomic.Int32

	mu   sync.Mutex
	zero chan struct{} // closed when n reaches zero; nil while nobody waits
}

// Add counts one beginning.
func (c *Counter) Add() { c.n.Add(1) }

// Done counts one end. It panics when there was no beginning, as that is a
// fault of the program.
func (c *Counter) Done() {
	switch n := c.n.Add(-1); {
	case n < 0:
		panic("inflight: Done without Add")
	case n == 0 && c.waiters.Load() != 0:
		c.mu.Lock()
		if c.zero != nil {
			close(c.zero)
			c.zero = nil
		}
		c.mu.Unlock()
	}
}

// Count returns how many are in flight now.
func (c *Counter) Count() int64 { return c.n.Load() }

// WaitZero returns nil as soon as the count was seen at zero, or the error of
// ctx. More may begin at any time: the caller must have closed the door first if
// zero is to last.
func (c *Counter) WaitZero(ctx context.Context) error {
	c.waiters.Add(1) // before the look at n, so that Done either sees us or is seen
	defer c.waiters.Add(-1)
	c.mu.Lock()
	if c.n.Load() == 0 {
		c.mu.Unlock()
		return nil
	}
	if c.zero == nil {
		c.zero = make(chan struct{})
	}
	zero := c.zero
	c.mu.Unlock()
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
