// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// drain is one run of the loss-free stop.
type drain struct {
	// The following fields are immutable.
	cfg     conf.Shutdown
	gate    *shutdown.Gate
	tell    func(context.Context) error // NOT_SERVING to Triple callers; nil if nobody can be told
	targets []target
}

// target is one deregistration.
type target struct {
	name       string // for messages: the registry and what leaves it
	deregister func() error
}

// outcome is what a drain leaves for the report.
type outcome struct {
	marked, deregistered, drained time.Time
}

// run takes the instance out: steps 1 to 5 of docs/shutdown.md. It ends at most
// shutdown.timeout after it began, or when the slowest registry's bound ends.
func (d *drain) run() outcome {
	// 1. Mark: from now on answers say so, and Triple callers are told.
	d.gate.Close()
	marked := d.gate.Snapshot().Marked
	ctx, cancel := context.WithDeadline(context.Background(), marked.Add(d.cfg.Timeout))
	defer cancel()
	go d.tellTriple(ctx)

	// 2. Deregister everywhere at once.
	gone := make(chan time.Time, 1)
	go func() { d.deregisterAll(); gone <- time.Now() }()

	// 3. Serve all that still arrives.
	deregistered := d.serve(gone)

	// 4. Refuse callers that can go elsewhere.
	d.gate.Refuse()

	// 5. Wait for what is in flight, and for its answers to get out.
	d.finish(ctx)
	drained := time.Now()
	if deregistered.IsZero() {
		deregistered = <-gone // bounded by shutdown.registry-timeout from the mark
	}
	return outcome{marked: marked, deregistered: deregistered, drained: drained}
}

func (d *drain) tellTriple(ctx context.Context) {
	if d.tell == nil {
		return
	}
	if err := d.tell(ctx); err != nil {
		logger.Warnf("[graylane] shutdown: telling Triple callers failed: %v", err)
	}
}

// deregisterAll returns when every registry has answered or had its time.
func (d *drain) deregisterAll() {
	var wg sync.WaitGroup
	for _, t := range d.targets {
		wg.Go(func() {
			if err := within(d.cfg.RegistryTimeout, t.deregister); err != nil {
				logger.Warnf("[graylane] shutdown: deregister %s: %v", t.name, err)
			}
		})
	}
	wg.Wait()
}

// within runs f for at most bound; f itself is left behind when it takes longer.
func within(bound time.Duration, f func() error) error {
	done := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				done <- fmt.Errorf("panic: %v", p)
			}
		}()
		done <- f()
	}()
	timer := time.NewTimer(bound)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("no answer within %v", bound)
	}
}

// serve returns when the serving step is over, with the time of deregistration,
// zero if that is still under way.
func (d *drain) serve(gone chan time.Time) (deregistered time.Time) {
	for {
		wait := time.Until(serveEnd(d.gate.Snapshot(), deregistered, d.cfg))
		if wait <= 0 {
			return deregistered
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-d.gate.Changed():
		case deregistered = <-gone:
			gone = nil
		}
		timer.Stop()
	}
}

// finish waits until nothing is in flight and the last answer had time to get
// out, or until ctx ends.
func (d *drain) finish(ctx context.Context) {
	for range flushRounds {
		if d.gate.WaitIdle(ctx) != nil {
			return // the time is up; the report names what is left behind
		}
		s := d.gate.Snapshot()
		wait := time.Until(later(s.Marked, s.LastEnd).Add(flushFor))
		if wait <= 0 && s.InFlight == 0 {
			return
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done(): // the time is up, and nothing was in flight
		}
		timer.Stop()
	}
}
