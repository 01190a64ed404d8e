// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
)

// TestEjectionsInARow on a virtual clock, with a port that takes connections: an
// instance is out for twice as long with each ejection in a row, up to the longest
// time. Only as long a time in which it behaved makes the next ejection a first one,
// whenever an earlier one was over.
func TestEjectionsInARow(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	settings(t, func(c *conf.Config) {
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = time.Second, 8*time.Second
	})
	synctest.Test(t, func(t *testing.T) {
		i := endpoint.Shared.Acquire(l.Addr().String(), incarnationOf(addresses.Add(1)), "order", endpoint.Birth{})
		const longest = 8 * time.Second
		for n, step := range []struct {
			behaved, out time.Duration // since it was let in, and then out
		}{
			{0, 1 * time.Second},
			{0, 2 * time.Second},
			{0, 4 * time.Second},
			{0, longest},                     // the first was let in 14 s ago, the second 12 s
			{1 * time.Second, longest},       // never more
			{longest - 1, longest},           // not long enough
			{longest, 1 * time.Second},       // forgotten
			{time.Second, 2 * time.Second},   // it counts anew
			{time.Hour, 1 * time.Second},     // and is forgotten again
			{longest / 2, 2 * time.Second},   // 8 s after the one before was over it has behaved for 2 s:
			{longest/2 - 1, 4 * time.Second}, // this is no first one
		} {
			time.Sleep(step.behaved)
			synctest.Wait()
			eject(i, "", "test")
			time.Sleep(step.out - 1)
			synctest.Wait()
			if !i.Outlier() {
				t.Fatalf("ejection %d: in again before %v were over", n+1, step.out)
			}
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			if i.Outlier() {
				t.Fatalf("ejection %d: still out after %v", n+1, step.out)
			}
		}
		endpoint.Shared.Release(i)
		time.Sleep(longest)
		synctest.Wait()
		ejections.Lock()
		defer ejections.Unlock()
		if _, known := ejections.m[i]; known {
			t.Error("it is remembered for good")
		}
	})
}
