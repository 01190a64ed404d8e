// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"time"

	"github.com/graylane/graylane/samples/demo/internal/load"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// lanes is step 1: who is served where.
func (r *Run) lanes(ctx context.Context) error {
	r.cfg.Say("step 1: lanes: where do coloured and other requests go?")
	from := time.Now()
	if err := r.watch(ctx, r.times.lanes); err != nil {
		return err
	}
	records, err := r.settled(ctx, r.start, time.Now())
	if err != nil {
		return err
	}
	row := report.Row{Step: 1, Name: "lanes"}
	noFailures(&row, records)
	coloured, byPath, byTable, example := 0, 0, 0, ""
	for _, q := range records {
		if q.Coloured {
			coloured++
			if q.OK() {
				example = q.Path
			}
		}
		if q.Leaked() {
			byPath++
		}
	}
	byTable, missed, err := r.misplaced(ctx, records)
	if err != nil {
		return err
	}
	row.Fact("%d coloured, %d not; without colour on gray: %d", coloured, len(records)-coloured, max(byPath, byTable))
	if n := max(byPath, byTable); n > 0 {
		row.Fault("%d requests without colour were served by gray instances", n)
	}
	if missed > 0 {
		row.Fact("coloured on a baseline order instance: %d", missed)
		row.Fault("%d coloured requests were served by a baseline order instance", missed)
	}
	if !r.cfg.Plain {
		row.Fact("a coloured one: %s", example)
		for _, f := range wrongHops(records) {
			row.Fault("%s", f)
		}
	}
	if coloured == 0 || len(records)-coloured == 0 {
		row.Fault("no coloured or no other request in %.1f s", time.Since(from).Seconds())
	}
	r.row(row)
	return nil
}

// misplaced counts, from the tables of executions, requests without colour on
// gray order instances and coloured ones on the baseline's: this can be seen
// without any help of the answers.
func (r *Run) misplaced(ctx context.Context, records []load.Record) (leaked, missed int, err error) {
	coloured := make(map[string]bool, len(records))
	for _, q := range records {
		coloured[q.ID] = q.Coloured
	}
	executions, err := r.executions(ctx)
	if err != nil {
		return 0, 0, err
	}
	tag := map[string]string{}
	for _, i := range r.fleet.All() {
		tag[i.Name] = i.Slot.Tag
	}
	for _, e := range executions {
		c, known := coloured[e.RequestID]
		switch {
		case known && !c && tag[e.Process] != "":
			leaked++
		case known && c && tag[e.Process] == "":
			missed++
		}
	}
	return leaked, missed, nil
}

// wrongHops lists what is wrong with the lane paths while user and order have gray
// instances and cart has none.
func wrongHops(records []load.Record) []string {
	want := map[string]load.Hop{
		"user":  {App: "user", Tag: "gray"},
		"cart":  {App: "cart", Reason: "no-instance"},
		"order": {App: "order", Tag: "gray"},
	}
	var faults []string
	for _, q := range records {
		if !q.OK() {
			continue
		}
		hops := load.Hops(q.Path)
		right := len(hops) == 3
		for _, h := range hops {
			w := load.Hop{App: h.App}
			if q.Coloured {
				w = want[h.App]
			}
			right = right && h == w
		}
		if !right {
			faults = append(faults, fmt.Sprintf("request %s (coloured: %v) went %q", q.ID, q.Coloured, q.Path))
		}
	}
	return faults
}
