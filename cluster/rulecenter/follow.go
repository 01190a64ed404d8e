// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"context"
	"sync"

	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/internal/center"
)

// follower keeps a store up to date with a source.
type follower struct {
	store  *tagrouter.Store
	source center.Source // nil: there is no config centre
	name   string        // of the centre, for log lines

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu   sync.Mutex
	apps map[string]*application
}

func newFollower(store *tagrouter.Store, source center.Source, name string) *follower {
	f := &follower{store: store, source: source, name: name, apps: make(map[string]*application)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// application returns what is known of an application, from the first mention on.
func (f *follower) application(name string) *application {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.apps[name]
	if a == nil {
		a = &application{name: name, store: f.store}
		if f.source != nil {
			for _, g := range f.source.Groups() {
				where := f.name + " " + a.key()
				if g != "" {
					where = f.name + " " + g + "/" + a.key()
				}
				a.groups = append(a.groups, grouped{name: g, where: where})
			}
		}
		f.apps[name] = a
	}
	return a
}

// start follows an application until stop is called. The store's lock is held:
// all work is left to goroutines.
func (f *follower) start(name string) (stop func()) {
	if f.source == nil || name == "" || f.ctx.Err() != nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(f.ctx)
	f.wg.Go(func() {
		a := f.application(name)
		var groups sync.WaitGroup
		for i := range a.groups {
			groups.Go(func() {
				f.source.Follow(ctx, a.groups[i].name, a.key(), func(text string) { a.told(i, text) })
			})
		}
		groups.Wait()
	})
	return cancel
}

// close ends all following and waits for it; what is in force stays.
func (f *follower) close() {
	f.cancel()
	f.wg.Wait()
	if f.source != nil {
		f.source.Close()
	}
}
