// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/graylane/graylane/internal/conf"
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

// MarkReady says that a process without registered services is ready: one that
// only calls others, or one that serves without a registry. For others it means
// nothing: they are ready when all registrations have succeeded.
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

// Ready reports whether the instance may get traffic: all registrations that it
// asked for have succeeded, or it was told by [MarkReady], and it is not leaving.
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
		return errWaiting
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
