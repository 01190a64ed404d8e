// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of the budget beside its share of the calls.
const (
	budgetPerSecond = 10  // so that a quiet reference may retry, too
	budgetBurst     = 100 // what a quiet time saves up
)

// budget bounds what a reference adds to the load of those it calls: retries and
// all but the first reroute of a call. It earns a share of the calls plus 10 a
// second. A call that ends well only adds to calls.
type budget struct {
	calls atomic.Int64

	mu     sync.Mutex
	seen   int64
	at     time.Time
	tokens float64
}

func newBudget() *budget { return &budget{at: time.Now(), tokens: budgetPerSecond} }

// giveBack returns what was spent on nothing.
func (b *budget) giveBack() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.tokens+1, budgetBurst)
}

// spend takes one, if there is one; share is that of the calls, 0 to 1.
func (b *budget) spend(share float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	calls, now := b.calls.Load(), time.Now()
	b.tokens += share*float64(calls-b.seen) + budgetPerSecond*now.Sub(b.at).Seconds()
	b.tokens = min(b.tokens, budgetBurst)
	b.seen, b.at = calls, now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
