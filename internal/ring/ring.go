// SPDX-License-Identifier: Apache-2.0

// Package ring is the hash ring of dubbo-go's and Java's consistent hashing, on
// which a node may stand in part: a node that is admitted with 0.1 takes a tenth
// of its points, and the keys of the others stay with the nodes that they would
// have without it. As its part grows, keys move to it, each of them once.
//
// A Ring is immutable and safe for concurrent use. With every node admitted in
// full it maps keys as dubbo-go's `consistenthashing` does.
package ring

import (
	"crypto/md5" //nolint:gosec // the ring of the peers, no secret
	"encoding/binary"
	"sort"
	"strconv"
)

// perDigest is how many points one digest gives.
const perDigest = md5.Size / 4

// Ring is the points of its nodes in the order of their hashes.
type Ring struct {
	points []point
}

type point struct {
	hash uint32
	node int32
	rank float32 // 0 to 1: the point is the node's from this part on
}

// New puts each node on the ring replicas times, rounded down to a multiple of 4
// and at least 4.
func New(addresses []string, replicas int) *Ring {
	digests := max(replicas/perDigest, 1)
	points := make([]point, 0, len(addresses)*digests*perDigest)
	var text []byte
	for node, address := range addresses {
		for d := range digests {
			text = strconv.AppendInt(append(text[:0], address...), int64(d), 10)
			sum := md5.Sum(text) //nolint:gosec // see above
			for j := range perDigest {
				rank := (float32(d*perDigest+j) + 0.5) / float32(digests*perDigest)
				points = append(points, point{hash: word(sum, j), node: int32(node), rank: rank})
			}
		}
	}
	points = sorted(points)
	last := points[:0]
	for n, p := range points { // of points at one place the last one counts, as in dubbo-go
		if n+1 == len(points) || points[n+1].hash != p.hash {
			last = append(last, p)
		}
	}
	return &Ring{points: last}
}

// sorted puts points in the order of their hashes, and leaves those at one place in the
// order in which they were: by one byte of the hash after the other, the lowest first,
// for a call may wait for it, and a sort by comparison takes several times as long.
func sorted(points []point) []point {
	other := make([]point, len(points))
	for shift := 0; shift < 32; shift += 8 {
		var at [256]int // where the next point with this byte goes
		for _, p := range points {
			at[byte(p.hash>>shift)]++
		}
		sum := 0
		for n, count := range at {
			at[n] = sum
			sum += count
		}
		for _, p := range points {
			b := byte(p.hash >> shift)
			other[at[b]] = p
			at[b]++
		}
		points, other = other, points
	}
	return points
}

// Locate returns the node of a key: that of the first point at or after the key's
// hash which part admits. part is the share of its points that a node has, 0 to 1.
// If no point is admitted the first one's node has the key. An empty ring has no
// node: -1.
func (r *Ring) Locate(key string, part func(node int) float64) int {
	n := len(r.points)
	if n == 0 {
		return -1
	}
	hash := word(md5.Sum([]byte(key)), 0) //nolint:gosec // see above
	start := sort.Search(n, func(i int) bool { return r.points[i].hash >= hash })
	for i := range n {
		p := r.points[(start+i)%n]
		if f := part(int(p.node)); f >= 1 || float64(p.rank) < f {
			return int(p.node)
		}
	}
	return int(r.points[start%n].node)
}

func word(sum [md5.Size]byte, n int) uint32 { return binary.LittleEndian.Uint32(sum[4*n:]) }
