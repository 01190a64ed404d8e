// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bytes"
	"regexp"
	"strconv"
	"testing"
)

// maxMoreAllocs is what a call may allocate beyond the floor: the target of the trailer.
const maxMoreAllocs = 1

// TestAllocations holds what can be held without a clock: a call allocates
// little more than the floor, and as much with many providers as with one.
func TestAllocations(t *testing.T) {
	allocs := make(map[string]map[string]int)
	for _, v := range variants {
		var out bytes.Buffer
		if err := child(&out, v, "^"+callBenchmark+"$//^n=(1|10|1000)$", "200x", false); err != nil {
			t.Fatal(err)
		}
		allocs[v] = make(map[string]int)
		for _, m := range regexp.MustCompile(`/n=(\d+)\S*\s.*\s(\d+) allocs/op`).FindAllSubmatch(out.Bytes(), -1) {
			n, err := strconv.Atoi(string(m[2]))
			if err != nil {
				t.Fatal(err)
			}
			allocs[v][string(m[1])] = n
		}
		if len(allocs[v]) != 3 {
			t.Fatalf("variant %s: want results for 3 sizes, got:\n%s", v, out.Bytes())
		}
	}
	for _, v := range []string{graylane, routers} {
		for n, got := range allocs[v] {
			if most := allocs[floor][n] + maxMoreAllocs; got > most {
				t.Errorf("%s, n=%s: %d allocations a call, want at most %d", v, n, got, most)
			}
			if least := allocs[plain][n]; got >= least {
				t.Errorf("%s, n=%s: %d allocations a call, plain dubbo-go has %d", v, n, got, least)
			}
		}
		if one, many := allocs[v]["1"], allocs[v]["1000"]; one != many {
			t.Errorf("%s: %d allocations a call with 1 provider, %d with 1000", v, one, many)
		}
	}
}
