// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/ramp"
	"github.com/graylane/graylane/samples/demo/internal/books"
	"github.com/graylane/graylane/samples/demo/internal/load"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

var zero = time.Unix(1_800_000_000, 0)

func TestLastNewCall(t *testing.T) {
	for _, tc := range []struct {
		last time.Time
		want time.Duration
	}{
		{time.Time{}, 0},
		{zero.Add(-time.Second), 0}, // before the signal
		{zero, 0},
		{zero.Add(7 * time.Millisecond), 7 * time.Millisecond},
	} {
		s := stop{signal: zero, drain: books.Drain{LastNewCall: books.Moment{Time: tc.last}}}
		if got := s.lastNewCall(); got != tc.want {
			t.Errorf("last new call at %v: %v after the signal, want %v", tc.last, got, tc.want)
		}
	}
}

func TestJudgeStops(t *testing.T) {
	good := func() stop {
		return stop{name: "order-1.1", signal: zero, reported: true, drain: books.Drain{LastNewCall: books.Moment{Time: zero.Add(maxLastNewCall)}}}
	}
	late, aborted, refused, silent := good(), good(), good(), good()
	late.drain.LastNewCall.Time = zero.Add(maxLastNewCall + 1)
	aborted.drain.Aborted = 1
	log := books.Log{}
	log.Add("order-1.1", `graylane drain report {"refused":3,"callers":[{"id":"cart-a","refused":1},{"id":"cart-b","refused":2}]}`, zero)
	refused.drain = log.Drains[0]
	silent.reported = false
	for _, tc := range []struct {
		name string
		s    stop
		want []string // faults
	}{
		{"good, at the bound", good(), nil},
		{"one nanosecond too late", late, []string{"last new call 300.000001ms"}},
		{"aborted", aborted, []string{"aborted 1"}},
		{"two refusals for one caller", refused, []string{"refused 2 calls of cart-b"}},
		{"no report", silent, []string{"without a drain report"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var row report.Row
			judgeStops(&row, []stop{tc.s}, maxLastNewCall)
			if len(row.Faults) != len(tc.want) {
				t.Fatalf("faults %q, want %q", row.Faults, tc.want)
			}
			for i, want := range tc.want {
				if !strings.Contains(row.Faults[i], want) {
					t.Errorf("fault %q does not say %q", row.Faults[i], want)
				}
			}
		})
	}
}

func TestWrongHops(t *testing.T) {
	const right = "gateway > user(gray) > cart(base: no-instance) > order(gray)"
	for _, tc := range []struct {
		name  string
		r     load.Record
		wrong bool
	}{
		{"coloured, right", load.Record{Coloured: true, Path: right}, false},
		{"uncoloured, right", load.Record{Path: "gateway > user(base) > cart(base) > order(base)"}, false},
		{"uncoloured on gray", load.Record{Path: right}, true},
		{"coloured misses the lane", load.Record{Coloured: true, Path: "gateway > user(gray) > cart(base: no-instance) > order(base: closing)"}, true},
		{"fallback without its reason", load.Record{Coloured: true, Path: "gateway > user(gray) > cart(base) > order(gray)"}, true},
		{"a hop is missing", load.Record{Coloured: true, Path: "gateway > user(gray) > order(gray)"}, true},
		{"nobody reports", load.Record{Path: "gateway"}, true},
		{"failed: counted elsewhere", load.Record{Err: "timeout"}, false},
	} {
		if got := len(wrongHops([]load.Record{tc.r})) > 0; got != tc.wrong {
			t.Errorf("%s: wrong %v, want %v", tc.name, got, tc.wrong)
		}
	}
}

func TestNoFailures(t *testing.T) {
	var row report.Row
	noFailures(&row, []load.Record{{}, {Err: "timeout"}, {Err: "EOF"}, {Err: "timeout"}})
	if len(row.Faults) != 2 || !strings.Contains(row.Faults[0], "3 requests failed, such as: timeout") || !strings.Contains(row.Faults[1], "try -timeout") {
		t.Errorf("faults %q", row.Faults)
	}
	row = report.Row{}
	noFailures(&row, []load.Record{{}, {Err: "EOF"}})
	if len(row.Faults) != 1 {
		t.Errorf("without a timeout: faults %q", row.Faults)
	}
}

func TestFirstCall(t *testing.T) {
	calls := []ramp.Call{{At: zero}, {At: zero.Add(3), Newcomer: true}, {At: zero.Add(2), Newcomer: true}}
	if at, ok := firstCall(calls); !ok || !at.Equal(zero.Add(2)) {
		t.Errorf("first call at %v, %v", at, ok)
	}
	if _, ok := firstCall(calls[:1]); ok {
		t.Error("a first call where there was none")
	}
}

func TestWithinKeepsThoseOfTheRequests(t *testing.T) {
	executions := []books.Execution{{RequestID: "a"}, {RequestID: "b"}, {RequestID: "a"}}
	got := within(executions, []load.Record{{ID: "a"}})
	if want := []books.Execution{{RequestID: "a"}, {RequestID: "a"}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if executions[1].RequestID != "b" {
		t.Error("the argument was changed")
	}
}
