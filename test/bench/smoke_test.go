// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"os/exec"
	"regexp"
	"testing"
)

// TestSmoke runs each of the ordinary benchmarks once, to see that it works.
// BenchmarkCall runs in TestAllocations.
func TestSmoke(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(exe, "-test.run=^$", "-test.bench=Plain|Build", "-test.benchtime=1x").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"PickPlain", "RoutePickPlain", "Build"} {
		if !regexp.MustCompile(`(?m)^Benchmark` + name + `/\S*n=10000\S*\s+1\s.* ns/op`).Match(out) {
			t.Errorf("no result of %s for 10,000 endpoints in:\n%s", name, out)
		}
	}
}
