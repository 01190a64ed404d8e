// SPDX-License-Identifier: Apache-2.0

package inflight

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitZeroReturnsAtTheLastDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		for _, after := range []time.Duration{time.Second, 3 * time.Second, 2 * time.Second} {
			c.Add()
			time.AfterFunc(after, c.Done)
		}
		start := time.Now()
		if err := c.WaitZero(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := time.Since(start); got != 3*time.Second {
			t.Errorf("waited %v, want 3s, when the last ended", got)
		}
	})
}

func TestWaitZeroWithNothingInFlight(t *testing.T) {
	var c Counter
	if err := c.WaitZero(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWaitZeroEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c Counter
		c.Add()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.WaitZero(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		if c.Count() != 1 {
			t.Errorf("count = %d, want 1", c.Count())
		}
	})
}

func TestDoneWithoutAddPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("want a panic")
		}
	}()
	var c Counter
	c.Done()
}

// Every waiter must wake, however Done and WaitZero interleave.
func TestNoWakeUpIsLost(t *testing.T) {
	for range 2000 {
		var c Counter
		c.Add()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				if err := c.WaitZero(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(c.Done)
		wg.Wait()
	}
}

func BenchmarkAddDone(b *testing.B) {
	var c Counter
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			c.Add()
			c.Done()
		}
	})
}
