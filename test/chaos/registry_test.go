// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"time"

	"github.com/graylane/graylane"
)

func registryEvents() []event {
	return []event{
		{name: "registry down 60 s", do: (*fleet).registryDown, own: true},
		{name: "registry emptied", do: (*fleet).registryEmptied, own: true},
	}
}

// closeRegistry kills the fleet's registry.
func (f *fleet) closeRegistry() {
	f.t.Helper()
	if err := f.registry.Close(); err != nil {
		f.t.Fatal(err)
	}
}

// restartRegistry starts it again at the same address.
func (f *fleet) restartRegistry() {
	f.t.Helper()
	if err := f.registry.Restart(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// registryDown: the registry is away for 60 s, and meanwhile two of three providers
// are restarted in place.
//  1. They leave as they always do: what they say goes to the callers, not over the
//     registry.
//  2. Their successors listen before the registry is back, and become ready only then.
//     Consumers cannot hear of them and do with the third.
//  3. With the registry back, both register on their own, and all three are in use.
func (f *fleet) registryDown() *row {
	f.t.Helper()
	const name, away = "registry down 60 s", 60 * time.Second
	from, _ := f.load(2 * time.Second)
	f.closeRegistry()
	down := time.Now()
	f.load(5 * time.Second)

	// 1.
	type leave struct {
		p      *process
		at     time.Time
		lasted time.Duration
	}
	var leaves []leave
	for n := range f.slots[:2] {
		p := f.slots[n].now
		at := f.leave(p)
		leaves = append(leaves, leave{p, at, time.Since(at)})
		f.gone = append(f.gone, p)
		// 2.
		f.next(n)
		f.awaitPort(f.slots[n].port)
		f.load(2 * time.Second)
	}
	f.load(time.Until(down.Add(away)))
	early := 0
	f.mu.Lock()
	for _, s := range f.slots[:2] {
		if s.now.ready {
			early++
		}
	}
	f.mu.Unlock()

	// 3.
	f.restartRegistry()
	back := time.Now()
	for _, s := range f.slots[:2] {
		f.awaitReady(s.now)
	}
	for _, s := range f.slots {
		f.awaitUseAfter(s.now, back)
	}
	r := f.row(name, from, f.settle())
	r.noneMayFail()
	for _, l := range leaves {
		f.left(r, l.p, l.at)
		if bound := f.longestLeave(); l.lasted > bound {
			r.slow("%s took %v to leave, want at most %v", l.p.spec.Name, l.lasted, bound)
		}
	}
	if early > 0 && !f.plain {
		r.fault("%d providers said that they are ready without a registry", early)
	}
	return r
}

// longestLeave is how long a provider whose registry is down may take to leave where
// no call is long: the registry gets its time, which delays nothing else, and the
// callers get theirs.
func (f *fleet) longestLeave() time.Duration {
	s := graylane.Default().Shutdown
	if f.cell.protocol == "dubbo" { // a caller that happens not to call is not told
		return s.RegistryTimeout + s.Notice + time.Second
	}
	return s.RegistryTimeout + s.QuietPeriod + time.Second
}

// registryEmptied: the registry is killed and comes back without its data.
//  1. For longer than an empty list is held, each consumer goes on calling each
//     provider.
//  2. A consumer that starts now finds all three: they have registered again.
//  3. A restart is heard of: the consumers follow the new registry.
func (f *fleet) registryEmptied() *row {
	f.t.Helper()
	const name = "registry emptied"
	held := graylane.Default().Discovery.EmptyProtection
	from, _ := f.load(2 * time.Second)
	f.closeRegistry()
	if err := f.registry.Empty(); err != nil {
		f.t.Fatal(err)
	}
	f.restartRegistry()

	// 1.
	f.load(held + 15*time.Second)
	pauses := f.longestPause(from, f.settle())

	// 2.
	f.join("c3", "")
	for _, s := range f.slots {
		f.awaitUse(s.now)
	}

	// 3.
	p := f.slots[0].now
	at := f.leave(p)
	f.gone = append(f.gone, p)
	f.awaitUse(f.start(0))

	r := f.row(name, from, f.settle())
	r.noneMayFail()
	f.left(r, p, at)
	if bound := 3 * time.Second; pauses > bound && !f.plain {
		r.fault("a consumer did without a provider for %v, want at most %v", pauses, bound)
	}
	return r
}

// longestPause is the longest time in [from, to) in which a consumer did not call one
// of the providers that live now.
func (f *fleet) longestPause(from, to time.Time) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	type pair struct{ consumer, provider string }
	last := map[pair]time.Time{}
	for _, c := range f.consumers {
		for _, s := range f.slots {
			last[pair{c.spec.Name, s.now.spec.Name}] = from
		}
	}
	longest := time.Duration(0)
	for _, c := range f.calls { // those of a pair in the order in which they ended
		p := pair{consumerOf(c.ID), c.By}
		if at, ok := last[p]; ok && c.Err == "" && c.Start.After(at) && c.Start.Before(to) {
			longest = max(longest, c.Start.Sub(at))
			last[p] = c.Start
		}
	}
	for _, at := range last {
		longest = max(longest, to.Sub(at))
	}
	return longest
}
