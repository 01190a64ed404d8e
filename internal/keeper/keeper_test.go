// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package keeper

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("connection refused")

// tree is a registry: what is written stays in a map.
type tree struct {
	k     *Keeper
	began time.Time

	mu     sync.Mutex
	nodes  map[string]string
	down   bool // nothing is answered
	deaf   bool // what is asked for is done, and not answered
	hangs  bool // a round takes until ctx ends
	stuck  chan struct{}
	rounds []time.Duration // when they began
	writes int
}

func (s *tree) set(f func(s *tree)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *tree) Round(ctx context.Context) error {
	s.mu.Lock()
	hangs, stuck := s.hangs, s.stuck
	s.rounds = append(s.rounds, time.Since(s.began))
	s.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	if hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return errDown
	}
	puts, drops := s.k.Work()
	for _, e := range puts {
		s.nodes[e.Key] = e.Value
		s.writes++
	}
	for _, key := range drops {
		delete(s.nodes, key)
	}
	if s.deaf {
		return errDown
	}
	s.k.Wrote(puts...)
	s.k.Erased(drops...)
	return nil
}

func (s *tree) Idle(ctx context.Context, kick <-chan struct{}, retry <-chan time.Time) {
	select {
	case <-kick:
	case <-retry:
	case <-ctx.Done():
	}
}

func (s *tree) Explain(err error) error { return errors.Join(err, errors.New("nobody listens")) }

// has compares what the registry holds.
func (s *tree) has(t *testing.T, step string, want map[string]string) {
	t.Helper()
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !maps.Equal(s.nodes, want) {
		t.Errorf("%s: the registry holds %v, want %v", step, s.nodes, want)
	}
}

// kept runs f with a Keeper on a virtual clock. Nothing may be left behind.
func kept(t *testing.T, f func(t *testing.T, k *Keeper, s *tree)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &tree{nodes: map[string]string{}, began: time.Now()}
		s.k = New("testreg", "host:1", s)
		f(t, s.k, s)
		s.k.Stop(t.Context())
	})
}

// within returns a context that ends after d.
func within(d time.Duration) context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	time.AfterFunc(d, func() { cancel(context.DeadlineExceeded) })
	return ctx
}

// TestPutAndRemove: what Put and Remove have returned from is so in the registry.
func TestPutAndRemove(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		for _, step := range []struct {
			name string
			do   func() error
			want map[string]string
		}{
			{"one", func() error { return k.Put(within(time.Second), "a", "1") }, map[string]string{"a": "1"}},
			{"another", func() error { return k.Put(within(time.Second), "b", "2") }, map[string]string{"a": "1", "b": "2"}},
			{"again with another value", func() error { return k.Put(within(time.Second), "a", "3") }, map[string]string{"a": "3", "b": "2"}},
			{"removed", func() error { return k.Remove(within(time.Second), "a") }, map[string]string{"b": "2"}},
			{"removed again", func() error { return k.Remove(within(time.Second), "a") }, map[string]string{"b": "2"}},
			{"back", func() error { return k.Put(within(time.Second), "a", "4") }, map[string]string{"a": "4", "b": "2"}},
		} {
			if err := step.do(); err != nil {
				t.Errorf("%s: %v", step.name, err)
			}
			s.has(t, step.name, step.want)
		}
		if s.writes != 4 {
			t.Errorf("%d writes, want 4: what is there is not written again", s.writes)
		}
	})
}

// TestPutInVain: the registry is asked again after 100 ms, doubling to 1 s; the error says
// who, how long and why; what could not be written is not wanted any more.
func TestPutInVain(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		s.down = true
		err := k.Put(within(5*time.Second), "a", "1")
		for _, part := range []string{"testreg", "registry host:1", "5s", "connection refused", "nobody listens"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("error %v, want %q in it", err, part)
			}
		}
		if !errors.Is(err, errDown) {
			t.Errorf("the cause cannot be told: %v", err)
		}
		var want []time.Duration
		for _, ms := range []int{0, 100, 300, 700, 1500, 2500, 3500, 4500} {
			want = append(want, time.Duration(ms)*time.Millisecond)
		}
		s.set(func(s *tree) {
			if !slices.Equal(s.rounds, want) {
				t.Errorf("asked at %v, want %v", s.rounds, want)
			}
			s.down = false
		})
		time.Sleep(time.Second)
		s.has(t, "it is back", map[string]string{})
	})
}

// TestWriteWithoutAnswer: a write may have been executed although nobody said so. When its
// caller has been told that it failed, the former state comes back.
func TestWriteWithoutAnswer(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		if err := k.Put(within(time.Second), "had", "1"); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *tree) { s.deaf = true })
		for _, key := range []string{"had", "new"} {
			if err := k.Put(within(time.Second), key, "2"); err == nil {
				t.Errorf("%s: no error", key)
			}
		}
		s.set(func(s *tree) { s.deaf = false })
		time.Sleep(time.Second)
		s.has(t, "it answers again", map[string]string{"had": "1"})
	})
}

// TestRemoveInVain: it goes on in the background.
func TestRemoveInVain(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		if err := k.Put(within(time.Second), "a", "1"); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *tree) { s.down = true })
		if err := k.Remove(within(time.Second), "a"); !errors.Is(err, errDown) {
			t.Errorf("%v, want the cause", err)
		}
		s.has(t, "it is down", map[string]string{"a": "1"})
		s.set(func(s *tree) { s.down = false })
		time.Sleep(time.Second)
		s.has(t, "it is back", map[string]string{})
	})
}

// TestEachItsDeadline: a caller that gives up takes nobody with it.
func TestEachItsDeadline(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		s.down = true
		patient := make(chan error, 1)
		go func() { patient <- k.Put(within(10*time.Second), "patient", "1") }()
		began := time.Now()
		if err := k.Put(within(time.Second), "hasty", "1"); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want an error after 1s", err, time.Since(began))
		}
		s.set(func(s *tree) { s.down = false })
		if err := <-patient; err != nil {
			t.Errorf("the patient one: %v", err)
		}
		s.has(t, "it is back", map[string]string{"patient": "1"})
	})
}

// TestLost: a registry that has lost everything gets everything again, and only then.
func TestLost(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		want := map[string]string{"a": "1", "b": "2"}
		for key, value := range want {
			if err := k.Put(within(time.Second), key, value); err != nil {
				t.Fatal(err)
			}
		}
		s.set(func(s *tree) { clear(s.nodes) })
		k.Wake()
		s.has(t, "nobody knows", map[string]string{})
		if n := k.Lost(); n != 2 {
			t.Errorf("%d entries are wanted, want 2", n)
		}
		k.Wake()
		s.has(t, "it is known", want)
	})
}

// TestStop: a round under way ends, waiting callers are told, and what was wanted can be
// taken out.
func TestStop(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		if err := k.Put(within(time.Second), "a", "1"); err != nil {
			t.Fatal(err)
		}
		s.set(func(s *tree) { s.hangs = true })
		waiting := make(chan error, 1)
		go func() { waiting <- k.Put(within(time.Minute), "b", "2") }()
		synctest.Wait()
		if !k.Stop(within(time.Second)) {
			t.Error("nothing was written, it says")
		}
		if err := <-waiting; !errors.Is(err, ErrDestroyed) {
			t.Errorf("who waited: %v", err)
		}
		if err := k.Put(within(time.Second), "c", "3"); !errors.Is(err, ErrDestroyed) {
			t.Errorf("a later Put: %v", err)
		}
		if err := k.Remove(within(time.Second), "a"); err != nil {
			t.Errorf("a later Remove: %v", err)
		}
		k.DropAll()
		puts, drops := k.Work()
		if slices.Sort(drops); len(puts) != 0 || !slices.Equal(drops, []string{"a", "b"}) {
			t.Errorf("work %v, %v; want a and b to go, for b may have been written", puts, drops)
		}
	})
}

// TestStopInVain: one that was never used has written nothing, and nobody waits longer
// than ctx for a round that does not end.
func TestStopInVain(t *testing.T) {
	kept(t, func(t *testing.T, k *Keeper, _ *tree) {
		if k.Stop(t.Context()) {
			t.Error("something was written, it says")
		}
	})
	kept(t, func(t *testing.T, k *Keeper, s *tree) {
		s.stuck = make(chan struct{})
		_ = k.Put(within(time.Second), "a", "1") // it hangs
		began := time.Now()
		if k.Stop(within(time.Second)) || time.Since(began) != time.Second {
			t.Errorf("waited %v, want 1s in vain", time.Since(began))
		}
		close(s.stuck)
	})
}

// TestMeanwhile: what is wanted otherwise while a round is under way is not taken for
// done by it.
func TestMeanwhile(t *testing.T) {
	k := New("testreg", "host:1", nil)
	k.want["a"], k.want["b"] = "1", "1"
	k.drop["c"] = struct{}{}
	puts, drops := k.Work() // a round begins
	k.want["a"] = "2"
	delete(k.want, "b")
	k.drop["b"] = struct{}{}
	k.want["c"] = "1"
	delete(k.drop, "c")
	k.Wrote(puts...) // and ends
	k.Erased(drops...)
	puts, drops = k.Work()
	slices.SortFunc(puts, func(x, y Entry) int { return strings.Compare(x.Key, y.Key) })
	if !slices.Equal(puts, []Entry{{"a", "2"}, {"c", "1"}}) || !slices.Equal(drops, []string{"b"}) {
		t.Errorf("work %v, %v; want a and c written, b deleted", puts, drops)
	}
}
