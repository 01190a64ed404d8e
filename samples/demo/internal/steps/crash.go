// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"time"

	"github.com/graylane/graylane/samples/demo/internal/books"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// crash is step 4: one order instance is killed by kill -9 and comes back.
func (r *Run) crash(ctx context.Context) error {
	victim := r.apps["order"][1]
	r.cfg.Say("step 4: crash: kill -9 of %s under load", victim.Slot.Name)
	before := time.Now()
	at := time.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	if err := r.watch(ctx, r.times.crash); err != nil {
		return err
	}
	until := time.Now()
	crash := books.Crash{Process: victim.Name, Address: victim.Slot.Address(), At: at, Until: until}
	r.crashes = append(r.crashes, crash)

	r.cfg.Say("  starting %s again on its port", victim.Slot.Name)
	next, err := r.fleet.Start(ctx, victim.Slot, victim.Label)
	if err != nil {
		return err
	}
	r.apps["order"][1] = next
	if err := r.watch(ctx, time.Second); err != nil {
		return err
	}
	// Requests that were under way at the kill began up to a timeout before it.
	records, err := r.settled(ctx, before.Add(-time.Second), time.Now())
	if err != nil {
		return err
	}
	executions, err := r.executions(ctx)
	if err != nil {
		return err
	}
	result := books.Check(books.Input{
		Requests: requests(records), Executions: within(executions, records), Log: r.snapshot(), Crashes: r.crashes, Plain: true,
	})
	row := report.Row{Step: 4, Name: "crash"}
	failed, why := failures(records)
	row.Fact("%d requests, %d failed; %d calls in flight on %s when it was killed", len(records), failed, result.InFlight, victim.Name)
	row.Fact("the last call was lost there %.0f ms after the kill", ms(r.lastLost(crash)))
	back := 0
	for _, e := range executions {
		if e.Process == next.Name {
			back++
		}
	}
	row.Fact("back on the same port as %s: %d calls so far", next.Name, back)
	if len(result.Unexplained) > 0 {
		row.Fault("%d requests failed and were not in flight there, such as: %s", len(result.Unexplained), why)
	}
	if failed > result.InFlight {
		row.Fault("%d requests failed, %d calls were in flight", failed, result.InFlight)
	}
	if back == 0 {
		row.Fault("%s got no call", next.Name)
	}
	r.row(row)
	return nil
}

// lastLost is how long after the kill a caller last reported a call there as unknown.
func (r *Run) lastLost(c books.Crash) time.Duration {
	var last time.Duration
	for _, u := range r.snapshot().Unknowns {
		if u.Address == c.Address && u.At.After(c.At) && u.At.Before(c.Until) {
			last = max(last, u.At.Sub(c.At))
		}
	}
	return last
}
