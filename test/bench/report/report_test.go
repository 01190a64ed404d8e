// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// sample is what `make bench` writes, with figures made up for this test.
func sample() string {
	var b strings.Builder
	b.WriteString("goos: linux\ncpu: A Processor\n")
	b.WriteString("=== RUN   TestShareAccuracy\n    fleet_test.go:372: one newcomer: at most 0.120 points off\n    fleet_test.go:372: a rolling restart: at most 0.250 points off\n")
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
		fmt.Fprintf(&b, "BenchmarkPush/n=10000-2 \t5\t%d ns/op\t12 max-ns\t4000000 listed-ns\t1500000 dubbo-ns\t%d own-ns\t1000 own-B/endpoint\n", 11_000_000+round, 9_500_000+round)
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
		"| 9.5 ms: 11.0 ms in all, without the 1.5 ms that dubbo-go takes to make the new invokers; the list read and published after 4.0 ms | yes |",
		"| at most 0.3 points off | one newcomer: 0.120 points · a rolling restart: 0.250 points | yes |",
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

// TestVerdict: a cost is within its bound if its whole interval is, beyond it if all
// of the interval is at one n, and else nothing is shown.
func TestVerdict(t *testing.T) {
	for _, tc := range []struct {
		name  string
		costs [2][]float64 // ns beyond the floor, by round, for two n
		more  int          // allocations
		want  string
	}{
		{"within", [2][]float64{{400, 450, 420}, {100, 499, 300}}, 3, "yes"},
		{"beyond at one n", [2][]float64{{400, 450, 420}, {501, 700, 600}}, 1, "no"},
		{"the bound is in an interval", [2][]float64{{400, 450, 420}, {300, 900, 600}}, 1, "not shown"},
		{"the median is within, the interval is not", [2][]float64{{400, 450, 420}, {300, 900, 400}}, 1, "not shown"},
		{"too many allocations", [2][]float64{{400, 450, 420}, {100, 300, 300}}, 4, "no"},
	} {
		var b strings.Builder
		for at, n := range []string{"1", "10"} {
			for _, cost := range tc.costs[at] {
				fmt.Fprintf(&b, "BenchmarkCall/variant=floor/n=%s-2\t100\t1000 ns/op\t11 allocs/op\n", n)
				fmt.Fprintf(&b, "BenchmarkCall/variant=graylane/n=%s-2\t100\t%f ns/op\t%d allocs/op\n", n, 1000+cost, 11+tc.more)
			}
		}
		var r results
		if err := r.read(strings.NewReader(b.String())); err != nil {
			t.Fatal(err)
		}
		if got := table([]row{call(&r, "graylane", "floor", 500, 3)}); !strings.HasSuffix(got, "| "+tc.want+" |\n") {
			t.Errorf("%s: want %q:\n%s", tc.name, tc.want, got)
		}
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

// TestStatNamesNoPlace: benchstat, of which echo stands for the arguments, is told
// the names of files only, which it prints.
func TestStatNamesNoPlace(t *testing.T) {
	echo, err := exec.LookPath("echo")
	if err != nil {
		t.Fatal(err) // as wherever make runs
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "push.txt"), []byte(sample()), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := statTable{file: "push.txt", filter: "*"}.text(dir, echo)
	if want := "-filter * push.txt\n"; err != nil || text != want {
		t.Errorf("%q, %v; want %q", text, err, want)
	}
}
