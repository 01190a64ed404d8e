// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/need"
)

func TestMain(m *testing.M) {
	if runRole() {
		return
	}
	os.Exit(m.Run())
}

// TestRun: both sides take their turns over both protocols, to see that it works.
func TestRun(t *testing.T) {
	need.Long(t, "starts processes")
	var out bytes.Buffer
	p := plan{protocols: []string{"tri", "dubbo"}, sizes: []int{3}, pairs: 2, turn: 20 * time.Millisecond, width: 2}
	if err := p.run(&out); err != nil {
		t.Fatal(err)
	}
	for _, protocol := range p.protocols {
		for _, side := range []string{plain, ours} {
			line := regexp.MustCompile(`(?m)^BenchmarkCalls/protocol=` + protocol + `/n=3/side=` + side + ` \t\d+\t\d+ ns/op\t[0-9.]+ calls/s\t\d+ p50-ns\t\d+ p99-ns$`)
			if got := len(line.FindAll(out.Bytes(), -1)); got != p.pairs {
				t.Errorf("%s, %s: %d lines, want %d, in:\n%s", protocol, side, got, p.pairs, out.Bytes())
			}
		}
	}
}
