// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/graylane/graylane/internal/testkit/ramp"
	"github.com/graylane/graylane/samples/demo/internal/fleet"
	"github.com/graylane/graylane/samples/demo/internal/report"
	"github.com/graylane/graylane/samples/demo/internal/steps"
)

// demo does everything in one temporary folder, which is gone when it returns,
// and so are all processes.
func demo(parent context.Context, o options, out, progress io.Writer) (err error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	// A panic anywhere must not skip the deferred ends of processes and files: it
	// cancels the run and becomes its error.
	guard := func(f func()) {
		defer func() {
			if v := recover(); v != nil {
				cancel(fmt.Errorf("panic: %v\n%s", v, debug.Stack()))
			}
		}()
		f()
	}
	dir, err := os.MkdirTemp("", "graylane-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); e != nil && err == nil {
			err = e
		}
	}()
	d := &director{parent: parent, ctx: ctx, o: o, dir: dir, out: out, say: newProgress(progress), guard: guard}
	if d.root, err = fleet.Root(ctx); err != nil {
		return err
	}
	registry, end, err := openRegistry(ctx, o, dir, d.say.line)
	if err != nil {
		return err
	}
	defer end()
	d.registry = registry
	if err := d.build(); err != nil {
		return err
	}
	return d.perform()
}

// director holds what both runs of a comparison share.
type director struct {
	parent   context.Context // ends with Ctrl-C
	ctx      context.Context // ends with parent, or with a panic
	o        options
	dir      string
	root     string
	registry fleet.Registry
	out      io.Writer
	say      *progress
	guard    func(func())
	ports    fleet.Ports
}

func (d *director) build() error {
	started := time.Now()
	bin := filepath.Join(d.dir, "bin")
	if err := os.Mkdir(bin, 0o700); err != nil {
		return err
	}
	bar := d.say.bar("building user, cart, order, gateway")
	err := fleet.Build(d.ctx, d.root, bin, bar.add)
	bar.end()
	if err == nil {
		d.say.line("built the four programs in %.1f s", time.Since(started).Seconds())
	}
	return err
}

// perform runs the steps, once or twice, and reports.
func (d *director) perform() error {
	var plainRows []report.Row
	var plain *report.Summary
	if d.o.compare {
		if _, err := fmt.Fprintln(d.out, "First run: plain dubbo-go (GRAYLANE_MODE=off), watched from outside"); err != nil {
			return err
		}
		rows, sum, err := d.once("plain", true)
		if err != nil {
			return fmt.Errorf("plain run: %w", err)
		}
		plainRows, plain = rows, &sum
		if _, err := fmt.Fprintln(d.out, "\nSecond run: with Graylane"); err != nil {
			return err
		}
	}
	rows, sum, err := d.once("graylane", false)
	if err != nil {
		return err
	}
	sum.Plain = plain
	if d.o.compare {
		if err := report.Compare(d.out, plainRows, rows); err != nil {
			return err
		}
	}
	verdict := "PASS"
	if !sum.Pass {
		verdict = "FAIL"
	}
	if _, err := fmt.Fprintf(d.out, "%s: %d requests, %d failed, %d unexplained, %d leaked, %d executed twice, in %.0f s\n",
		verdict, sum.Requests, sum.Failed, sum.Unexplained, sum.Leaked, sum.Duplicates, sum.Seconds); err != nil {
		return err
	}
	if d.o.keep {
		if err := d.keep(); err != nil {
			return err
		}
	}
	if d.o.json {
		if err := sum.WriteJSON(d.out); err != nil {
			return err
		}
	}
	if !sum.Pass {
		return errFailed
	}
	return nil
}

func (d *director) fleetConfig(name string) fleet.Config {
	return fleet.Config{
		Root: d.root, Bin: filepath.Join(d.dir, "bin"), Dir: filepath.Join(d.dir, name),
		Registry: d.registry, Ports: &d.ports, Guard: d.guard,
	}
}

// once runs the six steps with their table.
func (d *director) once(name string, plain bool) (rows []report.Row, sum report.Summary, err error) {
	table, err := report.NewTable(d.out)
	if err != nil {
		return nil, sum, err
	}
	var chart func() error
	run := steps.New(steps.Config{
		Fleet: d.fleetConfig(name), Rate: d.o.rate, Timeout: d.o.timeout, Full: d.o.full, Plain: plain, Say: d.say.line,
		Row: func(r report.Row) {
			d.say.clear()
			_ = table.Add(r) // a closed stdout ends the demo at its next write
		},
		Chart: func(newcomer string, slices []ramp.Slice) {
			chart = func() error { return report.Ramp(d.out, newcomer, slices) }
		},
	})
	defer func() {
		if e := run.Close(); e != nil && err == nil {
			err = e
		}
	}()
	if sum, err = run.Do(d.ctx); err != nil {
		return nil, sum, err
	}
	d.say.clear()
	if err := table.Close(); err != nil {
		return nil, sum, err
	}
	if chart != nil && !plain {
		if err := chart(); err != nil {
			return nil, sum, err
		}
	}
	sum.Registry, sum.Level = d.o.registry, d.o.level
	return run.Rows(), sum, nil
}

// keep starts the fleet once more and leaves it up until Ctrl-C.
func (d *director) keep() error {
	run := steps.New(steps.Config{Fleet: d.fleetConfig("keep"), Rate: d.o.rate, Timeout: d.o.timeout, Say: d.say.line})
	defer func() { _ = run.Close() }() // the processes end with the demo in any case
	urls, err := run.Keep(d.ctx)
	if err != nil {
		return err
	}
	d.say.clear()
	if _, err := fmt.Fprintf(d.out, "%s\nUp until Ctrl-C.\n", urls); err != nil {
		return err
	}
	<-d.ctx.Done()
	if d.parent.Err() == nil {
		return context.Cause(d.ctx) // a panic, not Ctrl-C
	}
	return nil
}
