// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"context"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPortsAreFreeAndDifferent(t *testing.T) {
	var p Ports
	seen := map[int]bool{}
	for range 50 {
		port, err := p.Next()
		if err != nil {
			t.Fatal(err)
		}
		if seen[port] || port < lowPort || port >= highPort {
			t.Errorf("port %d: seen before (%v) or out of range", port, seen[port])
		}
		seen[port] = true
	}
}

func TestClosedFleetStartsNothing(t *testing.T) {
	f := New(Config{Ports: &Ports{}, Guard: func(f func()) { f() }})
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := f.NewSlot("order", "order-1", "", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Start(context.Background(), s, s.Name); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("got %v", err)
	}
}
