// SPDX-License-Identifier: Apache-2.0

package books

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var zero = time.Unix(1_800_000_000, 0)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

// sound returns books that agree: requests 0 to 9, one each 100 ms; order-2.1 is
// killed at 550 ms while it runs request 5, and request 6 is lost on its way there.
func sound(t *testing.T) Input {
	t.Helper()
	in := Input{Crashes: []Crash{{Process: "order-2.1", Address: "127.0.0.1:2", At: at(550), Until: at(2000)}}}
	for n := range 10 {
		id := fmt.Sprintf("r-%d", n)
		q := Request{ID: id, Answered: true, Due: at(100 * n), Done: at(100*n + 20)}
		process := "order-1.1"
		switch n {
		case 5:
			q.Answered, q.Done, process = false, at(560), "order-2.1"
		case 6:
			q.Answered, q.Done, process = false, at(610), ""
		}
		in.Requests = append(in.Requests, q)
		if process != "" {
			in.Executions = append(in.Executions, Execution{RequestID: id, Process: process, At: q.Due})
		}
	}
	for i, line := range []string{
		`INFO graylane drain report {"app":"order","addresses":["127.0.0.1:1"],"incarnation":"aa","accepted":8,"completed":8,"refused":1,"aborted":0,"in_flight_at_mark":1,"marked":"2027-01-15T08:00:03Z","deregistered":"","last_new_call":"2027-01-15T08:00:03.004Z","drained":"2027-01-15T08:00:04Z","drain_ms":1000.5,"callers":[{"id":"cart-c1","accepted":5,"completed":5,"refused":1},{"id":"cart-c2","accepted":3,"completed":3}]}`,
		`graylane ledger {"app":"cart","caller":"cart-c1","entries":[{"service":"o","address":"127.0.0.1:1","incarnation":"aa","sent":6,"answered":5,"refused":1,"rerouted":1},{"service":"o","address":"127.0.0.1:2","incarnation":"bb","sent":2,"unknown":2}]}`,
		`graylane ledger {"app":"cart","caller":"cart-c2","entries":[{"service":"o","address":"127.0.0.1:1","incarnation":"aa","sent":3,"answered":3}]}`,
		`graylane unknown {"service":"o","method":"Create","address":"127.0.0.1:2","incarnation":"bb","error":"EOF"}`,
		`graylane unknown {"service":"o","method":"Create","address":"127.0.0.1:2","incarnation":"bb","error":"EOF"}`,
		`[graylane] ready`,
	} {
		in.Log.Add("p", line, at(551+i))
	}
	return in
}

func TestSoundBooks(t *testing.T) {
	r := Check(sound(t))
	if !r.OK() || len(r.Unexplained) > 0 {
		t.Fatalf("faults %q, unexplained %q, want none", r.Faults, r.Unexplained)
	}
	if r.Sent != 10 || r.Answered != 8 || r.Failed != 2 || r.Executed != 9 || r.InFlight != 2 || r.Pairs != 2 {
		t.Errorf("got %+v", r)
	}
	if !slices.Equal(r.ExecutedNotAnswered, []string{"r-5"}) {
		t.Errorf("executed without an answer: %q, want r-5", r.ExecutedNotAnswered)
	}
}

// Each fault that is planted must be found, and the words must name the culprit.
func TestPlantedFaults(t *testing.T) {
	for _, tc := range []struct {
		name   string
		plant  func(*Input)
		faults []string // parts of the words, one each
	}{
		{"executed twice", func(in *Input) {
			in.Executions = append(in.Executions, Execution{RequestID: "r-3", Process: "order-3.1"})
		}, []string{"r-3 was executed more than once"}},
		{"twice on the same instance", func(in *Input) {
			in.Executions = append(in.Executions, in.Executions[0])
		}, []string{"r-0 was executed more than once"}},
		{"answered and never executed", func(in *Input) { in.Executions = in.Executions[1:] }, []string{"r-0 was answered and never executed"}},
		{"executed and never sent", func(in *Input) {
			in.Executions = append(in.Executions, Execution{RequestID: "x", Process: "order-1.1"})
		}, []string{"x was executed and never sent"}},
		{"lost answers", func(in *Input) {
			for _, n := range []int{0, 1, 2} {
				in.Requests[n].Answered = false
			}
		}, []string{"4 requests were executed without an answer, 2 calls were in flight"}},
		{"a ledger says more", func(in *Input) { in.Log.Ledgers[1].Entries[0].Sent = 4 }, []string{"cart-c2 sent 4 calls"}},
		{"a ledger is missing", func(in *Input) { in.Log.Ledgers = in.Log.Ledgers[:1] }, []string{"cart-c2, which left no ledger"}},
		{"a caller is not in the report", func(in *Input) {
			in.Log.Drains[0].Callers = in.Log.Drains[0].Callers[:1]
		}, []string{"adds", "cart-c2 sent 3 calls to aa, whose drain report does not name it"}},
		{"calls were aborted unseen", func(in *Input) { in.Log.Drains[0].Completed = 7 }, []string{"accepted 8 calls, completed 7, aborted 0"}},
		{"two reports", func(in *Input) { in.Log.Drains = append(in.Log.Drains, in.Log.Drains[0]) }, []string{"two drain reports", "sent 0", "sent 0"}},
		{"two ledgers", func(in *Input) {
			in.Log.Ledgers = append(in.Log.Ledgers, Ledger{Caller: "cart-c1"})
		}, []string{"two ledgers"}},
		{"a line that cannot be read", func(in *Input) { in.Log.Add("cart-1.1", `graylane ledger {"app":`, zero) }, []string{"cart-1.1 wrote"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := sound(t)
			tc.plant(&in)
			r := Check(in)
			if len(r.Faults) != len(tc.faults) {
				t.Fatalf("%d faults, want %d: %q", len(r.Faults), len(tc.faults), r.Faults)
			}
			all := strings.Join(r.Faults, "\n")
			for _, want := range tc.faults {
				if want != "adds" && !strings.Contains(all, want) {
					t.Errorf("faults %q do not say %q", r.Faults, want)
				}
			}
		})
	}
}

func TestUnexplained(t *testing.T) {
	for _, tc := range []struct {
		name  string
		plant func(*Input)
		want  []string
	}{
		{"failed long before the kill", func(in *Input) { in.Requests[0].Answered = false }, []string{"r-0"}},
		{"one more than there were calls in flight", func(in *Input) {
			in.Requests[7].Answered = false
			in.Executions = slices.DeleteFunc(in.Executions, func(e Execution) bool { return e.RequestID == "r-7" })
		}, []string{"r-7"}},
		{"unknown calls at another address", func(in *Input) {
			for i := range in.Log.Unknowns {
				in.Log.Unknowns[i].Address = "127.0.0.1:1"
			}
		}, []string{"r-6"}},
		{"no crash", func(in *Input) { in.Crashes = nil }, []string{"r-5", "r-6"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			in := sound(t)
			tc.plant(&in)
			if r := Check(in); !slices.Equal(r.Unexplained, tc.want) {
				t.Errorf("unexplained %q, want %q", r.Unexplained, tc.want)
			}
		})
	}
}

func TestPlainNeedsNoReports(t *testing.T) {
	in := sound(t)
	in.Plain, in.Log = true, Log{}
	if r := Check(in); !r.OK() {
		t.Errorf("faults %q, want none", r.Faults)
	}
}

func TestLogTotals(t *testing.T) {
	l := sound(t).Log
	if l.Refused() != 1 || l.Rerouted() != 1 {
		t.Errorf("refused %d, rerouted %d, want 1 and 1", l.Refused(), l.Rerouted())
	}
	d := l.Drains[0]
	if !d.Deregistered.IsZero() || d.LastNewCall.Sub(d.Marked) != 4*time.Millisecond || d.Process != "p" {
		t.Errorf("drain report read as %+v", d)
	}
}

func TestReadExecutions(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "it's 100% a table?.db")
	if got, err := ReadExecutions(ctx, "p", file); err != nil || got != nil {
		t.Fatalf("a file that was never made: %v, %v, want no rows", got, err)
	}
	db, err := sql.Open("sqlite", dsn(file))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a test's own file
	for _, q := range []string{
		"PRAGMA journal_mode=WAL",
		"CREATE TABLE executions (request_id TEXT, instance TEXT, at INTEGER)",
		"INSERT INTO executions VALUES ('a', 'order-1', 1800000000000000001), ('a', 'order-1', 1800000000000000002)",
	} {
		if _, err := db.ExecContext(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	got, err := ReadExecutions(ctx, "p", file) // while the writer is still there
	if err != nil {
		t.Fatal(err)
	}
	want := []Execution{{"a", "p", zero.Add(1)}, {"a", "p", zero.Add(2)}}
	if !slices.EqualFunc(got, want, func(a, b Execution) bool {
		return a.RequestID == b.RequestID && a.Process == b.Process && a.At.Equal(b.At)
	}) {
		t.Errorf("got %v, want %v", got, want)
	}
}
