// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sample is what `make bench` writes, with figures made up for this test.
func sample() string {
	var b strings.Builder
	b.WriteString("goos: linux\ncpu: A Processor\n")
	for round := range 3 {
		for _, n := range []string{"10", "10000"} {
			for side, ns := range map[string]int{"kitex-alias": 40, "graylane": 20 + round} {
				fmt.Fprintf(&b, "BenchmarkPick/side=%s/state=warm/n=%s-2 \t100\t%d.0 ns/op\t0 B/op\t0 allocs/op\n", side, n, ns)
				fmt.Fprintf(&b, "BenchmarkRoutePick/side=%s/n=%s-2 \t100\t%d.0 ns/op\t0 B/op\t0 allocs/op\n", side, n, ns*5)
			}
			for variant, ns := range map[string]int{"plain": 9000, "floor": 1000, "graylane": 1400, "routers": 1750} {
				fmt.Fprintf(&b, "BenchmarkCall/variant=%s/n=%s-2\t100\t%d ns/op\t%d cpu-ns/op\t10 B/op\t%d allocs/op\n", variant, n, ns+round, ns, 11+ns%1000/400)
			}
		}
		fmt.Fprintf(&b, "BenchmarkPush/n=10000-2 \t5\t%d ns/op\t12 max-ns\t1000 own-B/endpoint\n", 9_000_000+round)
		for _, side := range []string{"plain", "graylane"} {
			speed := 1000 + 10*round
			if side == "graylane" {
				speed += 20 + round
			}
			fmt.Fprintf(&b, "BenchmarkCalls/protocol=tri/n=3/side=%s \t100\t%d ns/op\t%d.0 calls/s\t%d p50-ns\t%d p99-ns\n", side, 1_000_000/speed, speed, 1_000_000/speed, 9_000_000/speed)
		}
	}
	return b.String()
}

// TestReport: each row says what the figures above say.
func TestReport(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(sample()), 0o600); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(dir, "page.md")
	if err := os.WriteFile(page, []byte("# Page\n"+opening+"\nold\n"+closing+"\nend\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(dir, page, "make it", ""); err != nil {
		t.Fatal(err)
	}
	out, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(out)
	for _, want := range []string{
		"# Page\n", "A Processor", "`make it`", "\nend\n",
		"| 10: 21.0 ns (Kitex 40.0) · 10000: 21.0 ns (Kitex 40.0); largest / smallest 1.00; 0 allocations | yes |",
		"| 10: 105.0 ns (Kitex 200.0) · 10000: 105.0 ns (Kitex 200.0); largest / smallest 1.00; 0 allocations | yes |",
		"| 10: +0.40 µs (0.40 to 0.40) · 10000: +0.40 µs (0.40 to 0.40); +1 allocations | yes |",
		"| + 0.3 µs | 10: +0.35 µs (0.35 to 0.35) · 10000: +0.35 µs (0.35 to 0.35); +0 allocations | no |",
		"| 1.00, floor 1.00 | yes |",
		"| 9.0 ms, connecting included | yes |",
		"| 1000 B | yes |",
		"| calls over loopback, tri, 3 providers: Graylane beside plain dubbo-go | lower end of the 95 % interval at least 0.97 | throughput 1.021 (",
		"| calls over loopback, dubbo, 300 providers: Graylane beside plain dubbo-go | lower end of the 95 % interval above 1 |  | not measured |",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "old") {
		t.Error("the old report is still there")
	}
	if t.Failed() {
		t.Log(text)
	}
}

func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir, "", "", ""); err == nil {
		t.Error("no raw files: no error")
	}
	if _, err := between("no marks", "x"); err == nil {
		t.Error("a page without marks: no error")
	}
	if err := new(results).read(strings.NewReader("BenchmarkX 1 y ns/op\n")); err == nil {
		t.Error("a figure that is none: no error")
	}
}
