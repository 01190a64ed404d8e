// SPDX-License-Identifier: Apache-2.0

package ring

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"testing"
)

func whole(int) float64 { return 1 }

func addresses(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("10.0.0.%d:20000", i)
	}
	return list
}

// TestLikeASlowRing: the node of a key is that of the nearest point at or after
// its hash, as found by looking at all of them.
func TestLikeASlowRing(t *testing.T) {
	list := addresses(7)
	r := New(list, 160)
	for k := range 2_000 {
		key := strconv.Itoa(k)
		sum := md5.Sum([]byte(key))
		hash := binary.LittleEndian.Uint32(sum[:4])
		want, nearest := -1, uint64(math.MaxUint64)
		for n, address := range list {
			for d := range 40 {
				sum := md5.Sum([]byte(address + strconv.Itoa(d)))
				for j := range 4 {
					if away := uint64(binary.LittleEndian.Uint32(sum[4*j:]) - hash); away < nearest { // around the ring
						want, nearest = n, away
					}
				}
			}
		}
		if got := r.Locate(key, whole); got != want {
			t.Fatalf("key %s: node %d, want %d", key, got, want)
		}
	}
}

// TestPart: as a node's part grows from nothing to all, each key either stays with
// the node that it has without it or moves to it, once, and never back.
func TestPart(t *testing.T) {
	const keys, newcomer = 5_000, 9
	without, with := New(addresses(newcomer), 160), New(addresses(newcomer+1), 160)
	moved := map[string]bool{}
	for step := range 21 {
		part := float64(step) / 20
		for k := range keys {
			key := strconv.Itoa(k)
			got := with.Locate(key, func(n int) float64 {
				if n == newcomer {
					return part
				}
				return 1
			})
			switch before := without.Locate(key, whole); {
			case got == newcomer:
				moved[key] = true
			case moved[key]:
				t.Fatalf("key %s left the newcomer at part %v", key, part)
			case got != before:
				t.Fatalf("key %s moved from %d to %d at part %v, want it to stay", key, before, got, part)
			}
		}
		// A tenth of the keys when whole. Around 160 points the share of a node
		// varies by 1/sqrt(160) = 8 %; at 5 sigma, and 16 of its points at a tenth.
		want := 0.1 * part
		tolerance := 5*want/math.Sqrt(max(160*part, 1)) + 0.005
		if share := float64(len(moved)) / keys; math.Abs(share-want) > tolerance {
			t.Errorf("part %v: share %.4f, want %.4f ± %.4f", part, share, want, tolerance)
		}
	}
}

func TestEdges(t *testing.T) {
	if got := New(nil, 160).Locate("x", whole); got != -1 {
		t.Errorf("an empty ring has node %d, want -1", got)
	}
	r := New(addresses(3), -5) // at least four points a node
	if n := len(r.points); n != 12 {
		t.Errorf("%d points, want 12", n)
	}
	none := func(int) float64 { return 0 }
	if got, want := r.Locate("x", none), r.Locate("x", whole); got != want {
		t.Errorf("nobody admitted: node %d, want the key's own, %d", got, want)
	}
	if n := testing.AllocsPerRun(100, func() { r.Locate("x", whole) }); n != 0 {
		t.Errorf("Locate: %v allocations, want 0", n)
	}
}
