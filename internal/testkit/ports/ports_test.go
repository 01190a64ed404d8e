// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// Two givers are as two processes: of three blocks each, at once, no port comes twice,
// and none at which somebody listens.
func TestFree(t *testing.T) {
	var givers [2]giver
	ports := make(chan int)
	var giving sync.WaitGroup
	for n := range givers {
		giving.Go(func() {
			for range 3 * (size - 1) {
				ports <- givers[n].free()
			}
		})
	}
	go func() {
		giving.Wait()
		close(ports)
	}()
	seen := map[int]bool{}
	for p := range ports {
		if p <= lowest || p >= lowest+blocks*size || seen[p] {
			t.Errorf("got %d, want a new one above %d and below %d", p, lowest, lowest+blocks*size)
		}
		seen[p] = true
		l, err := listen(p)
		if err != nil {
			t.Errorf("got one that is taken: %v", err)
			continue
		}
		_ = l.Close()
	}
	if want := len(givers) * 3 * (size - 1); len(seen) != want {
		t.Errorf("%d ports, want %d", len(seen), want)
	}
	for n := range givers {
		for _, l := range givers[n].held {
			_ = l.Close()
		}
	}
}

// A port of the block at which somebody listens all the same is passed over.
func TestFreePassesOver(t *testing.T) {
	var g giver
	first := g.free()
	defer func() { _ = g.held[0].Close() }()
	l, err := listen(first + 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if got := g.free(); got == first+1 {
		t.Errorf("got %d, at which somebody listens", got)
	}
}

func TestAwait(t *testing.T) {
	const within = 300 * time.Millisecond
	address := Dead()
	began := time.Now()
	if err := Await(address, within); err == nil || !strings.Contains(err.Error(), "refused") || time.Since(began) < within {
		t.Errorf("where nobody listens: %v after %v, want the cause after %v", err, time.Since(began), within)
	}
	// Somebody comes while it waits.
	awaited := make(chan error, 1)
	go func() { awaited <- Await(address, time.Minute) }()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if err := <-awaited; err != nil {
		t.Error(err)
	}
}
