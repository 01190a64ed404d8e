// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"github.com/dubbogo/gost/log/logger"
)

// OnBeforeRegister adds a function that runs once before the first registration,
// when all services of the first server are exported and the checks have passed:
// the place to fill caches and open connections. Direct calls are served
// meanwhile. Functions run one after the other, in the order in which they were
// added.
//
// An error, or a panic, ends the start with one line and exit code 1. ctx ends
// when the process leaves; there is no other bound. Call it before the first
// service is exported: later it has no effect but a line in the log.
func OnBeforeRegister(hook func(ctx context.Context) error) { process.onBeforeRegister(hook) }

func (m *manager) onBeforeRegister(hook func(context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settled {
		logger.Errorf("[graylane] lifecycle.OnBeforeRegister after the first service was exported: it does not run")
		return
	}
	m.before = append(m.before, hook)
}

// AddCheck adds a readiness check of the program to those of register.check: the
// instance registers when all have passed in one round. name stands in the line
// that ends a start whose checks do not pass within register.check.limit. A try
// gets register.check.timeout, after which it counts as failed.
//
// Call it before the first service is exported: later it has no effect but a line
// in the log.
func AddCheck(name string, try func(ctx context.Context) error) {
	process.addCheck(check{name: name, try: try})
}

func (m *manager) addCheck(c check) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.settled {
		logger.Errorf("[graylane] lifecycle.AddCheck %s after the first service was exported: it is not asked", c.name)
		return
	}
	m.checks = append(m.checks, c)
}

// Register lets the instance register when register.manual is set, and returns
// when the services of a server have been exported and all registrations that
// were asked for so far have succeeded, or the error of ctx. Delay, checks and
// hooks still come first. Without register.manual it only waits.
func Register(ctx context.Context) error {
	process.askedOnce.Do(func() { close(process.asked) })
	select {
	case <-process.exported:
	case <-process.stop:
		return errStopped
	case <-ctx.Done():
		return fmt.Errorf("lifecycle: no services exported yet: %w", ctx.Err())
	}
	for _, r := range process.snapshot() {
		if err := r.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Leaving returns a channel that is closed when the process starts to leave, for
// loops that call others: they end then, and the stop does not wait for them.
func Leaving() <-chan struct{} { return process.stop }

// install does what only a process with services needs.
func (m *manager) install() {
	m.installOnce.Do(func() {
		keepOutOfRevision()
		extension.AddCustomizers(customizer{m})
		p := m.preparation()
		if p.empty() {
			m.direct.Store(true)
			if closed(m.exported) { // by a server before this one
				m.openDoor()
			}
			return
		}
		m.later.Store(true)
		go func() {
			ctx, cancel := m.untilLeaving()
			defer cancel()
			began := time.Now()
			switch err := p.run(ctx); {
			case ctx.Err() != nil: // it leaves before it ever came
			case err != nil:
				fatal(err)
			default:
				logger.Infof("[graylane] registration begins %v after the first export", time.Since(began).Round(time.Millisecond))
				m.openDoor()
			}
		}()
	})
}

// preparation is what lies between the export of the services and their
// registration. Its parts add up.
type preparation struct {
	// The following fields are immutable.
	delay    time.Duration
	asked    <-chan struct{} // nil: need not be asked
	exported <-chan struct{}
	round    round
	before   []func(context.Context) error
}

// preparation says what this process has to do; nothing can be added after it.
func (m *manager) preparation() preparation {
	c := m.settings().Register
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settled = true
	p := preparation{delay: c.Delay, exported: m.exported, before: slices.Clone(m.before)}
	if c.Manual {
		p.asked = m.asked
	}
	p.round = round{checks: append(checksOf(c.Check), m.checks...), interval: c.Check.Interval, timeout: c.Check.Timeout, limit: c.Check.Limit}
	return p
}

func (p *preparation) empty() bool {
	return p.delay == 0 && p.asked == nil && len(p.round.checks) == 0 && len(p.before) == 0
}

// run returns when the instance may register, with the error that ends the start,
// or with ctx's.
func (p *preparation) run(ctx context.Context) error {
	if err := sleep(ctx, p.delay); err != nil {
		return err
	}
	if p.asked != nil {
		if err := await(ctx, p.asked); err != nil {
			return err
		}
	}
	if err := await(ctx, p.exported); err != nil {
		return err
	}
	if err := p.round.pass(ctx); err != nil {
		return err
	}
	for _, hook := range p.before {
		if err := protect(func() error { return hook(ctx) }); err != nil {
			return fmt.Errorf("lifecycle.OnBeforeRegister: %w", err)
		}
	}
	return nil
}

// untilLeaving returns a context that ends when the process leaves.
func (m *manager) untilLeaving() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		select {
		case <-m.stop:
			cancel(errStopped)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// protect turns a panic of the program's code into an error.
func protect(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("panic: %v", p))
		}
	}()
	return f()
}
