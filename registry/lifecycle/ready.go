// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/registry/discovery"
)

// probeName is the name of the check in dubbo-go's readiness probe.
const probeName = "graylane"

// Reasons for not being ready, as the probe shows them.
var (
	errLeaving = errors.New("the instance is leaving")
	errExport  = errors.New("services are still being exported")
	errLater   = errors.New("registration waits for register.delay, lifecycle.Register, a check or a hook")
	errWaiting = errors.New("nothing is registered yet, and nobody called lifecycle.MarkReady")
)

// MarkReady says that a process without registered services is ready: one that serves
// without a registry, or that calls nobody either. One that only calls others is ready
// without it when its references are. For others it means nothing: they are ready when
// all registrations have succeeded.
func MarkReady() { process.markReady() }

func (m *manager) markReady() {
	m.told.Store(true)
	m.mu.Lock()
	served := len(m.regs) > 0
	m.mu.Unlock()
	if !served {
		m.begin()
		m.born()
	}
}

// Ready reports whether the instance may get traffic: all registrations that it asked
// for have succeeded; where it asked for none, its references can serve calls, or it was
// told by [MarkReady]; and it is not leaving.
func Ready() bool { return process.readiness() == nil }

func (m *manager) readiness() error {
	if m.gate.Closing() {
		return errLeaving
	}
	m.mu.Lock()
	regs, exporting := slices.Clone(m.regs), m.exporting
	m.mu.Unlock()
	switch {
	case exporting:
		return errExport
	case len(regs) == 0 && !m.told.Load():
		return m.referring()
	case len(regs) > 0 && m.later.Load() && !closed(m.due):
		return errLater
	}
	for _, r := range regs {
		if err := r.pending(); err != nil {
			return fmt.Errorf("registry %s: %w", r.name, err)
		}
	}
	return nil
}

// referring is the readiness of a process that registers nothing: that of its
// references. When those of the start are, that holds for good, for a provider that fails
// later is no reason to take its callers out.
// One that was told what to wait for before it registers will register.
func (m *manager) referring() error {
	r := m.settings().Register
	m.mu.Lock()
	serves := m.decorated || r.Manual || r.Delay > 0 || len(m.checks) > 0 || len(m.before) > 0
	m.mu.Unlock()
	if serves {
		return errWaiting
	}
	if m.referred.Load() {
		return nil
	}
	references, err := discovery.Waiting()
	if references == 0 {
		return errWaiting
	}
	if err == nil && discovery.Quiet() {
		m.referred.Store(true)
	}
	return err
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// probeCheck is the check of dubbo-go's probe. With mode off it is none of ours.
func (m *manager) probeCheck(context.Context) error {
	if m.settings().Mode == conf.Off {
		return nil
	}
	return m.readiness()
}
