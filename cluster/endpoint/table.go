// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
)

// departedKept bounds the ledger of instances that nobody references any more.
const departedKept = 1024

type key struct{ address, incarnation string }

// Table holds the instances that this process knows, one per address and
// incarnation. The zero value is ready.
type Table struct {
	mu       sync.Mutex
	byKey    map[key]*Instance
	departed []*Instance // oldest first

	watchers atomic.Pointer[[]*func()] // copied on write
}

// Shared is the table of this process.
var Shared = &Table{} //nolint:gochecknoglobals // one a process: all references must see the same

// Acquire returns the instance at address with the given incarnation, made from
// birth if it is new. Each Acquire wants one [Table.Release].
func (t *Table) Acquire(address, incarnation, app string, birth Birth) *Instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := key{address, incarnation}
	i, ok := t.byKey[k]
	if !ok {
		i = &Instance{Address: address, Incarnation: incarnation, App: app, table: t}
		i.born(birth)
		if t.byKey == nil {
			t.byKey = make(map[key]*Instance)
		}
		t.byKey[k] = i
	}
	i.refs++
	return i
}

// Release gives an instance back. When nobody references it any more it counts
// as closing, so that probes end. Its ledger stays, for the last 1,024 of them.
func (t *Table) Release(i *Instance) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i.refs--; i.refs > 0 {
		return
	}
	delete(t.byKey, key{i.Address, i.Incarnation})
	i.set(gone)
	if i.sent.Load()+i.failed.Load() > 0 {
		t.departed = append(t.departed, i)
		if over := len(t.departed) - departedKept; over > 0 {
			t.departed = slices.Delete(t.departed, 0, over)
		}
	}
}

// Watch has fn called whenever an instance starts or ceases to close, becomes or ceases
// to be an outlier, turns warm or learns its age. fn must not block.
func (t *Table) Watch(fn func()) (cancel func()) {
	p := &fn
	t.edit(func(list []*func()) []*func() { return append(slices.Clone(list), p) })
	return func() {
		t.edit(func(list []*func()) []*func() {
			return slices.DeleteFunc(slices.Clone(list), func(q *func()) bool { return q == p })
		})
	}
}

func (t *Table) edit(change func([]*func()) []*func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var old []*func()
	if p := t.watchers.Load(); p != nil {
		old = *p
	}
	list := change(old)
	t.watchers.Store(&list)
}

func (t *Table) notify() {
	if p := t.watchers.Load(); p != nil {
		for _, fn := range *p {
			(*fn)()
		}
	}
}

// Entry is one line of the caller's ledger. Sent counts the calls handed to the
// endpoint's invoker: Sent = Answered + Refused + Unknown + those in flight.
// Failed calls never left this process and are not in Sent; Rerouted ones were
// sent on to another endpoint after a refusal or a failed dial.
type Entry struct {
	Service     string `json:"service"` // the provider's application
	Address     string `json:"address"`
	Incarnation string `json:"incarnation"`
	Sent        int64  `json:"sent"`
	Answered    int64  `json:"answered"`
	Refused     int64  `json:"refused"`
	Failed      int64  `json:"failed"`
	Unknown     int64  `json:"unknown"`
	Rerouted    int64  `json:"rerouted"`
}

// Ledger returns what was sent where, by address and incarnation.
func (t *Table) Ledger() []Entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.departed)
	for _, i := range t.byKey {
		list = append(list, i)
	}
	entries := make([]Entry, 0, len(list))
	for _, i := range list {
		entries = append(entries, Entry{
			Service: i.App, Address: i.Address, Incarnation: i.Incarnation,
			Sent: i.sent.Load(), Answered: i.answered.Load(), Refused: i.refused.Load(),
			Failed: i.failed.Load(), Unknown: i.unknown.Load(), Rerouted: i.rerouted.Load(),
		})
	}
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Address, b.Address), cmp.Compare(a.Incarnation, b.Incarnation))
	})
	return entries
}
