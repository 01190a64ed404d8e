// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/graylane/graylane/internal/testkit/ramp"
	"github.com/graylane/graylane/samples/demo/internal/books"
	"github.com/graylane/graylane/samples/demo/internal/fleet"
	"github.com/graylane/graylane/samples/demo/internal/load"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// closeAll ends the load, then every process, callers before callees, so that
// each can finish and write what it counted.
func (r *Run) closeAll(ctx context.Context) error {
	r.cfg.Say("step 6: books: the load ends, then gateway, user, cart, order leave")
	r.stopLoad()
	select {
	case <-r.loaded:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	groups := [][]*fleet.Instance{{r.gateway}}
	for _, app := range slices.Backward(tiers) {
		groups = append(groups, r.apps[app])
	}
	for _, group := range groups {
		if err := r.fleet.Each(len(group), func(i int) error {
			_, err := r.leave(ctx, group[i])
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// balance checks the books and adds everything up.
func (r *Run) balance(ctx context.Context) (report.Summary, error) {
	records := r.gen.Records()
	executions, err := r.executions(ctx)
	if err != nil {
		return report.Summary{}, err
	}
	leaked, _, err := r.misplaced(ctx, records)
	if err != nil {
		return report.Summary{}, err
	}
	log := r.snapshot()
	result := books.Check(books.Input{
		Requests: requests(records), Executions: executions, Log: log, Crashes: r.crashes, Plain: r.cfg.Plain,
	})
	row := report.Row{Step: 6, Name: "books", Faults: result.Faults}
	row.Fact("%d sent = %d answered + %d failed; %d executed; %d executed twice", result.Sent, result.Answered, result.Failed, result.Executed, len(result.Duplicates))
	row.Fact("executed without an answer: %d, in flight at the kill: %d%s", len(result.ExecutedNotAnswered), result.InFlight, list(result.ExecutedNotAnswered))
	if n := len(result.Unexplained); n > 0 {
		row.Fault("%d failed requests were not in flight at the kill%s", n, list(result.Unexplained))
	}
	if !r.cfg.Plain {
		row.Fact("%d ledgers, %d drain reports: accepted + refused = sent for %d of %d pairs", len(log.Ledgers), len(log.Drains), result.Pairs-min(result.Pairs, len(result.PairFaults)), result.Pairs)
		row.Fact("rerouted %d calls, %d of them away from the killed instance; refused %d", log.Rerouted(), r.reroutedAtCrash(log), log.Refused())
		r.everyoneWrote(&row, log)
	}
	sum := report.Summary{
		Requests: result.Sent, Failed: result.Failed, Unexplained: len(result.Unexplained), Duplicates: len(result.Duplicates),
		Rerouted: log.Rerouted(), Refused: log.Refused(), InFlight: result.InFlight,
		UnexplainedIDs: result.Unexplained, DuplicateIDs: result.Duplicates,
		WarmupMaxZ: ramp.MaxZ(r.slices), Rate: r.cfg.Rate, Seconds: time.Since(r.start).Seconds(),
	}
	byPath := 0
	for _, q := range records {
		if q.Leaked() {
			byPath++
		}
		sum.Fallbacks += len(q.Fallbacks())
	}
	if sum.Leaked = max(byPath, leaked); sum.Leaked > 0 {
		row.Fault("%d requests without colour were served by gray instances", sum.Leaked)
	}
	for _, s := range r.stops {
		if s.reported {
			sum.LastNewCallMS = append(sum.LastNewCallMS, ms(s.lastNewCall()))
		}
	}
	sum.LastNewCallMSP95 = report.Percentile(sum.LastNewCallMS, 95)
	sum.LastNewCallMSMax = report.Percentile(sum.LastNewCallMS, 100)
	latency(&sum, records)
	row.Fact("latency of %d answers from their intended time: p50 %.1f ms, p99 %.1f ms, max %.1f ms", result.Answered, sum.LatencyMSP50, sum.LatencyMSP99, sum.LatencyMSMax)
	r.row(row)

	sum.Pass = true
	for _, row := range r.rows {
		for _, f := range row.Faults {
			sum.Pass = false
			sum.Faults = append(sum.Faults, row.Name+": "+f)
		}
	}
	return sum, nil
}

// everyoneWrote checks that no provider that left cleanly kept its books to itself.
// A caller without a ledger is found by the pairs: providers name it.
func (r *Run) everyoneWrote(row *report.Row, log books.Log) {
	reports := map[string]bool{}
	for _, d := range log.Drains {
		reports[d.Process] = true
	}
	for _, i := range r.fleet.All() {
		crashed := slices.ContainsFunc(r.crashes, func(c books.Crash) bool { return c.Process == i.Name })
		if i.Slot.App != "gateway" && !crashed && !reports[i.Name] {
			row.Fault("%s left without a drain report", i.Name)
		}
	}
}

// reroutedAtCrash sums the calls that callers sent elsewhere than to a killed process.
func (r *Run) reroutedAtCrash(log books.Log) int {
	alive := map[string]bool{}
	for _, d := range log.Drains {
		alive[d.Incarnation] = true
	}
	n := 0
	for _, l := range log.Ledgers {
		for _, e := range l.Entries {
			crashed := slices.ContainsFunc(r.crashes, func(c books.Crash) bool { return c.Address == e.Address })
			if crashed && !alive[e.Incarnation] { // an incarnation at that address that never left
				n += e.Rerouted
			}
		}
	}
	return n
}

// snapshot returns a copy of what the processes have written so far.
func (r *Run) snapshot() books.Log {
	r.mu.Lock()
	defer r.mu.Unlock()
	var l books.Log
	l.Merge(r.log)
	return l
}

func requests(records []load.Record) []books.Request {
	out := make([]books.Request, len(records))
	for i, q := range records {
		out[i] = books.Request{ID: q.ID, Answered: q.OK(), Due: q.Intended, Done: q.Done()}
	}
	return out
}

// within keeps the executions of the given requests.
func within(executions []books.Execution, records []load.Record) []books.Execution {
	known := make(map[string]bool, len(records))
	for _, q := range records {
		known[q.ID] = true
	}
	return slices.DeleteFunc(slices.Clone(executions), func(e books.Execution) bool { return !known[e.RequestID] })
}

// latency adds the percentiles of the answered requests.
func latency(sum *report.Summary, records []load.Record) {
	h := hdrhistogram.New(1, (10 * time.Second).Microseconds(), 3)
	for _, q := range records {
		if q.OK() {
			_ = h.RecordValue(min(max(1, q.Latency.Microseconds()), h.HighestTrackableValue())) // in range by the bounds
		}
	}
	sum.LatencyMSP50 = float64(h.ValueAtQuantile(50)) / 1000
	sum.LatencyMSP99 = float64(h.ValueAtQuantile(99)) / 1000
	sum.LatencyMSMax = float64(h.Max()) / 1000
}

// list shows up to ten ids.
func list(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	more := ""
	if len(ids) > 10 {
		ids, more = ids[:10], ", ..."
	}
	return ": " + strings.Join(ids, ", ") + more
}
