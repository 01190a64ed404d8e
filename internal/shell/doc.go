// SPDX-License-Identifier: Apache-2.0

// Package shell is what dubbo-go wants around a registry, once for all registries: a
// registry.Registry for the interface level, a registry.ServiceDiscovery for the
// application level, and the mapping listeners of a metadata report.
//
// A registry's own package brings how entries are kept, read and followed ([Keeper],
// [Services], [Applications]); how an object of dubbo-go's begins and ends, who has
// registered what and which listener has heard which list is here, so that it is the
// same on every registry.
//
// All types are safe for concurrent use. Listeners are called one at a time per
// subscription, with no lock held that a call into this package needs.
package shell

import (
	"context"
	"sync"
	"time"

	"github.com/graylane/graylane/internal/keeper"
)

// Keeper keeps entries in a registry: P is where one is, V what it holds.
type Keeper[P comparable, V any] interface {
	// Put writes an entry and keeps it there. If that cannot be done before ctx ends, the
	// error says why and it is as if Put had not been called.
	Put(ctx context.Context, at P, value V) error

	// Remove deletes an entry and returns when it is gone. If that cannot be told before
	// ctx ends, the error says why; it goes on in the background. One that is not there
	// is not an error.
	Remove(ctx context.Context, at P) error

	// Close takes all entries out, as far as ctx allows, and gives the connection back.
	Close(ctx context.Context)

	// Reconnected returns when the connection was last there again after it had been
	// lost, zero if it never was.
	Reconnected() time.Time
}

// life is the part of an object that begins and ends.
type life[P comparable, V any] struct {
	name    string // of the registry, in log lines and errors
	timeout time.Duration
	keeper  Keeper[P, V]
	ctx     context.Context // ends with Destroy
	cancel  context.CancelFunc
	once    sync.Once
}

func (l *life[P, V]) begin(name string, timeout time.Duration, k Keeper[P, V]) {
	l.name, l.timeout, l.keeper = name, timeout, k
	l.ctx, l.cancel = context.WithCancel(context.Background()) //nolint:gosec // ended by Destroy
}

// Context ends when the object is destroyed.
func (l *life[P, V]) Context() context.Context { return l.ctx }

// Reconnected returns when the connection was last there again after it had been lost,
// zero if it never was: a list that comes soon after may lack many.
func (l *life[P, V]) Reconnected() time.Time { return l.keeper.Reconnected() }

func (l *life[P, V]) end() {
	l.once.Do(func() {
		l.cancel()
		ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
		defer cancel()
		l.keeper.Close(ctx)
	})
}

// within bounds one operation of a caller.
func (l *life[P, V]) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(l.ctx, l.timeout)
}

// ErrDestroyed reports that the object was destroyed. Match it with [errors.Is].
var ErrDestroyed = keeper.ErrDestroyed
