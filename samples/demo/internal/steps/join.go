// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"time"

	"github.com/graylane/graylane/internal/testkit/ramp"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// slice is how long one stretch of the ramp is.
const slice = time.Second

// pushDelay is how late a registry may tell consumers of a newcomer before the
// slices begin with its first call: Nacos waits half a second. The age stays the
// newcomer's own, which its first answer tells.
const pushDelay = 300 * time.Millisecond

// join is step 2: a third order instance joins and warms up.
func (r *Run) join(ctx context.Context) error {
	r.cfg.Say("step 2: loss-free start: order-3 joins, window %v", r.times.window)
	from := time.Now()
	slot, err := r.fleet.NewSlot("order", "order-3", "", r.times.window)
	if err != nil {
		return err
	}
	warm := len(r.apps["order"])
	newcomer, err := r.fleet.Start(ctx, slot, slot.Name)
	if err != nil {
		return err
	}
	r.apps["order"] = append(r.apps["order"], newcomer)
	if err := r.watch(ctx, r.times.window+r.times.after); err != nil {
		return err
	}
	calls, err := r.orderCalls(ctx, newcomer.Name)
	if err != nil {
		return err
	}
	born, late := newcomer.Ready, time.Duration(0)
	if first, ok := firstCall(calls); ok && first.Sub(born) > pushDelay {
		late = first.Sub(born)
	}
	// The last slice must be over and its requests answered.
	if err := r.watch(ctx, time.Until(born.Add(late+r.times.window+r.times.after+200*time.Millisecond))); err != nil {
		return err
	}
	records, err := r.settled(ctx, from, time.Now())
	if err != nil {
		return err
	}
	if calls, err = r.orderCalls(ctx, newcomer.Name); err != nil {
		return err
	}
	curve := ramp.Curve{Window: r.times.window, MinPercent: 10, Power: 1, Warm: warm}
	n := int((r.times.window + r.times.after) / slice)
	r.slices = ramp.Slices(curve, born, late, slice, n, calls)

	row := report.Row{Step: 2, Name: "loss-free start"}
	noFailures(&row, records)
	first, last := r.slices[0], r.slices[n-1]
	if late > 0 {
		row.Fact("its first call came %.1f s after it was ready", late.Seconds())
	}
	row.Fact("share in its first second %.1f %% (curve %.1f %%), when warm %.1f %% (%.1f %%)",
		100*first.Share(), 100*first.P, 100*last.Share(), 100*last.P)
	row.Fact("largest |z| of %d slices of %v: %.2f", n, slice, ramp.MaxZ(r.slices))
	for _, s := range r.slices {
		if !s.OK() {
			row.Fault("age %v to %v: %d of %d calls, want %.1f %%: z %+.1f", s.From, s.To, s.Observed, s.N, 100*s.P, s.Z)
		}
	}
	r.row(row)
	r.cfg.Chart(slot.Name, r.slices)
	return nil
}

// orderCalls lists the calls to the baseline's order instances, marked if the
// named process served them.
func (r *Run) orderCalls(ctx context.Context, newcomer string) ([]ramp.Call, error) {
	coloured := map[string]bool{}
	for _, q := range r.gen.Records() {
		coloured[q.ID] = q.Coloured
	}
	executions, err := r.executions(ctx)
	if err != nil {
		return nil, err
	}
	calls := make([]ramp.Call, 0, len(executions))
	for _, e := range executions {
		if c, known := coloured[e.RequestID]; known && !c {
			calls = append(calls, ramp.Call{At: e.At, Newcomer: e.Process == newcomer})
		}
	}
	return calls, nil
}

func firstCall(calls []ramp.Call) (time.Time, bool) {
	var first time.Time
	for _, c := range calls {
		if c.Newcomer && (first.IsZero() || c.At.Before(first)) {
			first = c.At
		}
	}
	return first, !first.IsZero()
}
