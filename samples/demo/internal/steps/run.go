// SPDX-License-Identifier: Apache-2.0

// Package steps is the demo's script: a gray release of the shop under load, in
// six steps, each of which says what it saw and judges it.
package steps

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graylane/graylane/internal/testkit/ramp"
	"github.com/graylane/graylane/samples/demo/internal/books"
	"github.com/graylane/graylane/samples/demo/internal/fleet"
	"github.com/graylane/graylane/samples/demo/internal/load"
	"github.com/graylane/graylane/samples/demo/internal/report"
)

// Config says what to run on and where to tell. All fields are needed.
type Config struct {
	Fleet   fleet.Config  // without Line and Env
	Rate    int           // requests per second
	Timeout time.Duration // of one request
	Full    bool          // longer windows, more restarts
	Plain   bool          // GRAYLANE_MODE=off: plain dubbo-go, watched and not judged
	Say     func(format string, args ...any)
	Row     func(report.Row)
	Chart   func(newcomer string, slices []ramp.Slice)
}

// Times are the lengths that -full stretches.
type times struct {
	lanes    time.Duration // of step 1
	window   time.Duration // of the newcomer's warm-up
	after    time.Duration // watched beyond the window
	crash    time.Duration // watched after the kill
	share    time.Duration // of each gray share
	empty    time.Duration // watched after the lane was removed
	restarts int           // how often each baseline instance is restarted
}

func (c Config) times() times {
	if c.Full {
		return times{
			lanes: 15 * time.Second, window: 30 * time.Second, after: 5 * time.Second, crash: 8 * time.Second,
			share: 10 * time.Second, empty: 8 * time.Second, restarts: 4,
		}
	}
	return times{
		lanes: 4 * time.Second, window: 10 * time.Second, after: 2 * time.Second, crash: 3 * time.Second,
		share: 2 * time.Second, empty: 2 * time.Second, restarts: 1,
	}
}

// fleetWindow is the warm-up window of all instances but the newcomer: short, so
// that they are warm when the newcomer joins.
const fleetWindow = 2 * time.Second

// Run is one run of the six steps.
type Run struct {
	cfg   Config
	times times
	fleet *fleet.Fleet
	gen   *load.Generator
	start time.Time

	stopLoad context.CancelFunc
	loaded   chan struct{} // closed when the load has ended

	gateway *fleet.Instance
	apps    map[string][]*fleet.Instance // baseline instances that run now, by app
	gray    []*fleet.Instance

	mu   sync.Mutex
	log  books.Log
	rows []report.Row

	crashes []books.Crash
	stops   []stop
	slices  []ramp.Slice
}

// tiers are the services in the order in which they start: callees first.
var tiers = []string{"order", "cart", "user"} //nolint:gochecknoglobals // a constant

// New returns a run that has started nothing. The caller closes it in any case.
func New(cfg Config) *Run {
	r := &Run{cfg: cfg, times: cfg.times(), start: time.Now(), apps: map[string][]*fleet.Instance{}, loaded: make(chan struct{})}
	r.cfg.Fleet.Line, r.cfg.Fleet.Timeout = r.line, cfg.Timeout
	if cfg.Plain {
		r.cfg.Fleet.Plain = true
		r.cfg.Fleet.Env = append(r.cfg.Fleet.Env, "GRAYLANE_MODE=off")
	}
	r.fleet = fleet.New(r.cfg.Fleet)
	return r
}

// Do runs the six steps, once, and returns what they add up to.
func (r *Run) Do(ctx context.Context) (report.Summary, error) {
	for _, step := range []func(context.Context) error{
		r.open, r.lanes, r.join, r.restart, r.crash, r.release, r.closeAll,
	} {
		if err := step(ctx); err != nil {
			return report.Summary{}, err
		}
		if ctx.Err() != nil {
			return report.Summary{}, context.Cause(ctx)
		}
	}
	return r.balance(ctx)
}

// Rows returns the rows of the steps so far.
func (r *Run) Rows() []report.Row { return r.rows }

// Close ends every process at once and the load with them.
func (r *Run) Close() error {
	if r.stopLoad != nil {
		r.stopLoad()
	}
	return r.fleet.Close()
}

// line keeps what the books need of a process's output.
func (r *Run) line(from *fleet.Instance, line string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log.Add(from.Name, line, at)
}

// drain returns the drain report of an instance that has gone.
func (r *Run) drain(i *fleet.Instance) (books.Drain, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.log.Drains {
		if d.Process == i.Name {
			return d, true
		}
	}
	return books.Drain{}, false
}

func (r *Run) row(row report.Row) {
	row.Judged = !r.cfg.Plain
	r.rows = append(r.rows, row)
	r.cfg.Row(row)
}

// open starts the first fleet and the load.
func (r *Run) open(ctx context.Context) error {
	r.cfg.Say("starting user x2 + gray, cart x2, order x2 + gray, gateway")
	if err := r.startFleet(ctx); err != nil {
		return err
	}
	r.startLoad()
	r.cfg.Say("all ready after %.1f s; load at %d requests/s, 10 %% gray", time.Since(r.start).Seconds(), r.cfg.Rate)
	return nil
}

// startFleet starts callees before callers, each tier at once.
func (r *Run) startFleet(ctx context.Context) error {
	for _, app := range tiers {
		slots := []*fleet.Slot{}
		names := [][2]string{{app + "-1", ""}, {app + "-2", ""}}
		if app != "cart" {
			names = append(names, [2]string{app + "-gray", "gray"})
		}
		for _, n := range names {
			s, err := r.fleet.NewSlot(app, n[0], n[1], fleetWindow)
			if err != nil {
				return err
			}
			slots = append(slots, s)
		}
		up, err := r.fleet.StartAll(ctx, slots)
		if err != nil {
			return err
		}
		r.apps[app] = up[:2:2]
		r.gray = append(r.gray, up[2:]...)
		if r.cfg.Plain { // it says that it is ready before it is registered
			if err := r.settle(ctx); err != nil {
				return err
			}
		}
	}
	s, err := r.fleet.NewSlot("gateway", "gateway", "", fleetWindow)
	if err != nil {
		return err
	}
	if r.gateway, err = r.fleet.Start(ctx, s, s.Name); err != nil {
		return err
	}
	return r.settle(ctx)
}

// settle waits as a rollout waits between two instances (minReadySeconds in
// Kubernetes): consumers learn of an instance some time after it is registered,
// and whoever leaves before that takes the last instance they know.
func (r *Run) settle(ctx context.Context) error {
	switch {
	case r.cfg.Plain:
		return r.watch(ctx, 2*time.Second)
	case r.cfg.Fleet.Registry.Protocol == "nacos": // its server waits 0.5 s before it pushes
		return r.watch(ctx, 1500*time.Millisecond)
	}
	return r.watch(ctx, 500*time.Millisecond)
}

func (r *Run) startLoad() {
	r.gen = load.New(load.Config{
		URL: r.gateway.Slot.URL() + "/api/orders", Run: fmt.Sprintf("r%x", time.Now().UnixMilli()&0xffffff),
		Rate: r.cfg.Rate, Timeout: r.cfg.Timeout, Guard: r.cfg.Fleet.Guard,
	})
	r.gen.SetGray(10)
	ctx, stop := context.WithCancel(context.Background()) // ended by step 6 or Close
	r.stopLoad = stop
	go r.cfg.Fleet.Guard(func() {
		defer close(r.loaded)
		r.gen.Run(ctx)
	})
}

// watch lets time pass under load. It waits for load to happen, not for an effect.
func (r *Run) watch(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// settled returns the requests due in [from, to) once all of them have an end.
func (r *Run) settled(ctx context.Context, from, to time.Time) ([]load.Record, error) {
	const grace = 1500 * time.Millisecond // a request ends at most its timeout, 1 s, after it was due
	for time.Since(to) < grace {
		want := int(to.Sub(from).Seconds() * float64(r.cfg.Rate))
		if got := r.gen.Between(from, to); len(got) >= want && time.Since(to) > 100*time.Millisecond {
			return got, nil
		}
		if err := r.watch(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
	return r.gen.Between(from, to), nil
}

// executions reads the tables of all order processes there were.
func (r *Run) executions(ctx context.Context) ([]books.Execution, error) {
	var all []books.Execution
	for _, i := range r.fleet.All() {
		if i.Database == "" {
			continue
		}
		e, err := books.ReadExecutions(ctx, i.Name, i.Database)
		if err != nil {
			return nil, err
		}
		all = append(all, e...)
	}
	return all, nil
}

// failures counts the failed requests and names the commonest reason.
func failures(records []load.Record) (n int, why string) {
	by := map[string]int{}
	for _, q := range records {
		if !q.OK() {
			n++
			by[q.Err]++
		}
	}
	most := 0
	for reason, count := range by {
		if count > most {
			most, why = count, reason
		}
	}
	return n, why
}

// noFailures adds the failed requests to a row, as a fault if there are any.
func noFailures(row *report.Row, records []load.Record) {
	n, why := failures(records)
	row.Fact("%d requests, %d failed", len(records), n)
	if n > 0 {
		row.Fault("%d requests failed, such as: %s", n, why)
	}
	if slices.ContainsFunc(records, func(r load.Record) bool { return r.Err == "timeout" || strings.HasPrefix(r.Err, "HTTP 504") }) {
		row.Fault("requests timed out: on a machine busy with other work try -timeout 5s")
	}
}
