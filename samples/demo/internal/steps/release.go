// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"time"

	"github.com/graylane/graylane/samples/demo/internal/report"
)

// release is step 5: the end of a gray release, as a runbook has it.
func (r *Run) release(ctx context.Context) error {
	r.cfg.Say("step 5: release: the gray share grows to 100 %%")
	from := time.Now()
	for _, share := range []int{10, 50, 100} {
		r.cfg.Say("  gray share %d %%", share)
		r.gen.SetGray(share)
		if err := r.watch(ctx, r.times.share); err != nil {
			return err
		}
	}
	stops, err := r.roll(ctx, "-v2", "baseline to v2")
	if err != nil {
		return err
	}
	r.cfg.Say("  gray share 0 %%, then the lane is removed")
	r.gen.SetGray(0)
	if err := r.watch(ctx, r.times.share/2); err != nil {
		return err
	}
	r.gen.SetGray(lateGray) // somebody still asks for the lane: the baseline must serve them
	err = r.fleet.Each(len(r.gray), func(i int) error {
		s, err := r.leave(ctx, r.gray[i])
		if err != nil {
			return err
		}
		r.mu.Lock()
		stops = append(stops, s)
		r.stops = append(r.stops, s)
		r.mu.Unlock()
		return nil
	})
	if err != nil {
		return err
	}
	gone := time.Now()
	if err := r.watch(ctx, r.times.empty); err != nil {
		return err
	}
	to := time.Now()
	records, err := r.settled(ctx, from, to)
	if err != nil {
		return err
	}
	row := report.Row{Step: 5, Name: "release"}
	noFailures(&row, records)
	late, counted := 0, 0
	for _, q := range records {
		if !q.Coloured || q.Intended.Before(gone) {
			continue
		}
		late++
		if q.OK() && len(q.Fallbacks()) == len(tiers) {
			counted++
		}
	}
	row.Fact("gray 10, 50, 100 %%; baseline rolled to v2; lane removed: %d coloured requests after that", late)
	if late == 0 {
		row.Fault("no coloured request after the lane was removed")
	}
	if !r.cfg.Plain {
		row.Fact("each of them served by the baseline and counted as fallback at every hop: %d of %d", counted, late)
		if counted < late {
			row.Fault("%d coloured requests after the lane was removed were not counted as fallback at every hop", late-counted)
		}
		judgeStops(&row, stops, r.cfg.maxLastNewCall())
	}
	r.row(row)
	return nil
}

// lateGray is the percentage of coloured requests while the lane is removed.
const lateGray = 5
