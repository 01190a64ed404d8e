// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"slices"
	"sync"
	"testing"
)

func TestStore(t *testing.T) {
	s := &Store{}
	one, two := &Rule{}, &Rule{}
	if s.Rule("order") != nil {
		t.Error("the zero value has a rule")
	}
	told := 0
	cancel := s.Follow("order", func() { told++ })
	for n, step := range []struct {
		app  string
		rule *Rule
		told int
	}{
		{"order", one, 1},
		{"order", one, 1}, // nothing changed
		{"cart", two, 1},  // of another application
		{"order", two, 2},
		{"order", nil, 3},
		{"order", nil, 3},
	} {
		if s.Put(step.app, step.rule); s.Rule(step.app) != step.rule || told != step.told {
			t.Errorf("step %d: rule in force is the one put: %t, told %d times, want %d", n, s.Rule(step.app) == step.rule, told, step.told)
		}
	}
	cancel()
	cancel()
	s.Put("order", one)
	if told != 3 {
		t.Errorf("told %d times after cancel, want 3", told)
	}
}

// TestStoreFollower: one follower per application that is wanted, as long as it is.
func TestStoreFollower(t *testing.T) {
	s := &Store{}
	var log []string
	early := s.Follow("early", func() {})
	s.SetFollower(func(app string) func() {
		log = append(log, "+"+app)
		return func() { log = append(log, "-"+app) }
	})
	first := s.Follow("order", func() {})
	second := s.Follow("order", func() {})
	first()
	log = append(log, "first gone")
	second()
	again := s.Follow("order", func() {})
	again()
	early()
	want := []string{"+early", "+order", "first gone", "-order", "+order", "-order", "-early"}
	if !slices.Equal(log, want) {
		t.Errorf("got %v, want %v", log, want)
	}
}

// TestStoreRaces: for -race, and: whoever is told last sees the last rule.
func TestStoreRaces(t *testing.T) {
	s := &Store{}
	s.SetFollower(func(app string) func() {
		ended := make(chan struct{})
		go func() { s.Put(app, &Rule{}); close(ended) }()
		return func() { <-ended }
	})
	last := &Rule{}
	seen := make(chan *Rule, 1)
	cancel := s.Follow("order", func() {
		select {
		case <-seen:
		default:
		}
		select {
		case seen <- s.Rule("order"):
		default:
		}
	})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				s.Follow("order", func() {})()
				s.Put("order", &Rule{})
				s.Rule("order")
				s.Follow("cart", func() {})()
			}
		})
	}
	wg.Wait()
	s.Put("order", last)
	if got := <-seen; got != last {
		t.Error("the last rule was not told")
	}
	cancel()
}

// TestStoreRuleAllocs: reads are for the path of a call.
func TestStoreRuleAllocs(t *testing.T) {
	s := &Store{}
	s.Put("order", &Rule{})
	if n := testing.AllocsPerRun(100, func() { s.Rule("order") }); n != 0 {
		t.Errorf("Rule: %v allocations, want 0", n)
	}
}
