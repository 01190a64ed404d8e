// SPDX-License-Identifier: Apache-2.0

package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/graylane/graylane/samples/demo/internal/books"
	"github.com/graylane/graylane/samples/demo/internal/fleet"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// stop is one SIGTERM of a provider and what came of it.
type stop struct {
	name     string
	signal   time.Time
	gone     time.Duration // from the signal to the end of the process
	reported bool
	drain    books.Drain
}

// lastNewCall is how long after the signal a handler was still started, 0 if none was.
func (s stop) lastNewCall() time.Duration {
	if s.drain.LastNewCall.IsZero() {
		return 0
	}
	return max(0, s.drain.LastNewCall.Sub(s.signal))
}

// maxLastNewCall bounds the time from the signal to the last new call. Where
// requests may take longer than a second it grows alike.
const maxLastNewCall = 300 * time.Millisecond

func (c Config) maxLastNewCall() time.Duration {
	return time.Duration(float64(maxLastNewCall) * max(c.Timeout.Seconds(), 1))
}

// restart is step 3: every baseline instance leaves and comes back on its own port.
func (r *Run) restart(ctx context.Context) error {
	r.cfg.Say("step 3: loss-free stop: rolling restart of the baseline by SIGTERM, each on its own port again")
	from := time.Now()
	var stops []stop
	for n := range r.times.restarts {
		s, err := r.roll(ctx, "", fmt.Sprintf("round %d", n+1))
		if err != nil {
			return err
		}
		stops = append(stops, s...)
	}
	records, err := r.settled(ctx, from, time.Now())
	if err != nil {
		return err
	}
	row := report.Row{Step: 3, Name: "loss-free stop"}
	noFailures(&row, records)
	if r.cfg.Plain {
		row.Fact("%d restarts, slowest stop %.1f s", len(stops), slowest(stops).Seconds())
	} else {
		judgeStops(&row, stops, r.cfg.maxLastNewCall())
	}
	r.row(row)
	return nil
}

// roll restarts the baseline: one user, one cart, one order at a time, until each
// had its turn. suffix is added to what the new processes call themselves.
func (r *Run) roll(ctx context.Context, suffix, what string) ([]stop, error) {
	var stops []stop
	for turn := 0; ; turn++ {
		type place struct {
			app string
			n   int
		}
		var places []place
		for _, app := range tiers {
			if turn < len(r.apps[app]) {
				places = append(places, place{app, turn})
			}
		}
		if len(places) == 0 {
			return stops, nil
		}
		names := make([]string, 0, len(places))
		for _, p := range places {
			names = append(names, r.apps[p.app][p.n].Slot.Name)
		}
		r.cfg.Say("  %s: restarting %s", what, strings.Join(names, " "))
		done := make([]stop, len(places))
		next := make([]*fleet.Instance, len(places))
		err := r.fleet.Each(len(places), func(i int) (err error) {
			old := r.apps[places[i].app][places[i].n]
			if done[i], err = r.leave(ctx, old); err != nil {
				return err
			}
			next[i], err = r.fleet.Start(ctx, old.Slot, old.Slot.Name+suffix)
			return err
		})
		if err != nil {
			return nil, err
		}
		for i, p := range places {
			r.apps[p.app][p.n] = next[i]
		}
		stops = append(stops, done...)
		r.stops = append(r.stops, done...)
		if err := r.settle(ctx); err != nil {
			return nil, err
		}
	}
}

// leave ends one process by SIGTERM and reads its drain report.
func (r *Run) leave(ctx context.Context, i *fleet.Instance) (stop, error) {
	at, err := r.fleet.Stop(ctx, i)
	if err != nil {
		return stop{}, err
	}
	s := stop{name: i.Name, signal: at, gone: time.Since(at)}
	s.drain, s.reported = r.drain(i)
	return s, nil
}

// judgeStops adds what the drain reports say to a row.
func judgeStops(row *report.Row, stops []stop, bound time.Duration) {
	var last []float64
	refused, inFlight := 0, 0
	var drain time.Duration
	for _, s := range stops {
		if !s.reported {
			row.Fault("%s left without a drain report", s.name)
			continue
		}
		last = append(last, ms(s.lastNewCall()))
		refused += s.drain.Refused
		inFlight += s.drain.InFlight
		drain = max(drain, time.Duration(s.drain.DrainMS*float64(time.Millisecond)))
		row.Fact("%-14s last new call %5.1f ms, refused %d, in flight %d, drained in %4.0f ms",
			s.name, ms(s.lastNewCall()), s.drain.Refused, s.drain.InFlight, s.drain.DrainMS)
		if s.lastNewCall() > bound {
			row.Fault("%s: last new call %v after the signal, want at most %v", s.name, s.lastNewCall(), bound)
		}
		if s.drain.Aborted > 0 {
			row.Fault("%s aborted %d calls", s.name, s.drain.Aborted)
		}
		for _, c := range s.drain.Callers {
			if c.Refused > 1 {
				row.Fault("%s refused %d calls of %s, want at most 1", s.name, c.Refused, c.ID)
			}
		}
	}
	row.Fact("%d stops: last new call p95 %.1f ms, max %.1f ms; refused %d, in flight %d, slowest drain %.1f s",
		len(stops), report.Percentile(last, 95), report.Percentile(last, 100), refused, inFlight, drain.Seconds())
}

func slowest(stops []stop) time.Duration {
	return slices.MaxFunc(stops, func(a, b stop) int { return int(a.gone - b.gone) }).gone
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
