// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/ramp"
)

// Tools read these keys: they must not change.
func TestSummaryKeys(t *testing.T) {
	var out bytes.Buffer
	s := Summary{Plain: &Summary{}, UnexplainedIDs: slices.Repeat([]string{"x"}, 1000), Unexplained: 1000}
	if err := s.WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want 1", n)
	}
	var keys map[string]any
	if err := json.Unmarshal(out.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{
		"pass", "requests", "failed", "unexplained", "duplicates", "leaked", "fallbacks", "warmup_max_z",
		"last_new_call_ms_p95", "last_new_call_ms_max", "rerouted", "refused", "seconds", "plain",
	} {
		if _, ok := keys[k]; !ok {
			t.Errorf("key %q is missing", k)
		}
	}
	if ids, ok := keys["unexplained_ids"].([]any); !ok || len(ids) != maxListed || keys["unexplained"] != 1000.0 {
		t.Errorf("%d ids listed of %v, want %d of 1000", len(ids), keys["unexplained"], maxListed)
	}
	if _, ok := keys["duplicate_ids"].([]any); !ok {
		t.Error("an empty list must be [], not null")
	}
}

func TestPercentile(t *testing.T) {
	twenty := []float64{20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}
	for _, tc := range []struct {
		values []float64
		p      float64
		want   float64
	}{{nil, 95, 0}, {[]float64{7}, 95, 7}, {twenty, 95, 19}, {twenty, 96, 20}, {twenty, 100, 20}, {twenty, 0, 1}} {
		if got := Percentile(tc.values, tc.p); got != tc.want {
			t.Errorf("Percentile(%v, %v) = %v, want %v", tc.values, tc.p, got, tc.want)
		}
	}
}

func TestRowsComeAsTheyAre(t *testing.T) {
	var out bytes.Buffer
	table, err := NewTable(&out)
	if err != nil {
		t.Fatal(err)
	}
	ok := Row{Step: 1, Name: "lanes", Judged: true}
	ok.Fact("%d requests", 7)
	if err := table.Add(ok); err != nil {
		t.Fatal(err)
	}
	if s := out.String(); !strings.Contains(s, "1 lanes") || !strings.Contains(s, "PASS") || !strings.Contains(s, "7 requests") {
		t.Errorf("the first row is not out before the second:\n%s", s)
	}
	bad := Row{Step: 2, Name: "start", Judged: true}
	for n := range maxFaults + 3 {
		bad.Fault("fault %d", n)
	}
	if err := table.Add(bad); err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	s := out.String()
	for _, want := range []string{"FAIL", "! fault 0", fmt.Sprintf("! fault %d", maxFaults-1), "! and 3 more"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in\n%s", want, s)
		}
	}
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for _, l := range lines {
		if got, want := len([]rune(l)), len([]rune(lines[0])); got != want {
			t.Errorf("a line is %d wide, want %d: %s", got, want, l)
		}
	}
}

func TestCompareKeepsTheSides(t *testing.T) {
	plain := Row{Step: 3, Name: "stop"}
	plain.Fault("half is lost")
	const long = "a fact of fifty-two characters stays on a single line"
	plain.Fact(long)
	ours := Row{Step: 3, Name: "stop", Judged: true}
	ours.Fact("nothing is lost")
	var out bytes.Buffer
	if err := Compare(&out, []Row{plain}, []Row{ours}); err != nil {
		t.Fatal(err)
	}
	s := out.String()
	if found, found0 := strings.Contains(s, "half is lost"), strings.Contains(s, "PASS"); !found || !found0 || strings.Contains(s, "FAIL") {
		t.Errorf("want both sides, the plain one not judged:\n%s", s)
	}
	if !strings.Contains(s, long) {
		t.Errorf("the columns are too narrow:\n%s", s)
	}
}

func TestRampIsDrawn(t *testing.T) {
	c := ramp.Curve{Window: 2 * time.Second, MinPercent: 10, Power: 1, Warm: 2}
	slices := ramp.Slices(c, time.Unix(0, 0), 0, time.Second, 3, []ramp.Call{{At: time.Unix(2, 5), Newcomer: true}})
	var out bytes.Buffer
	if err := Ramp(&out, "order-3", slices); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"share of order-3 in percent over its first 3 s", "2-3 s", "33.3", "100.0", "+1.41"} {
		if !strings.Contains(out.String(), want) { // one call, P = 1/3: z = (2/3)/sqrt(2/9) = 1.41
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "\033") {
		t.Error("colours where there is no terminal")
	}
}
