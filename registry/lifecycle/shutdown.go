// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"slices"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/filter/graceful_shutdown" // without its filters graceful_shutdown.Init does nothing
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/metrics/probe"
	"github.com/dubbogo/gost/log/logger"
)

// UnregisterRegistries is the second step of every graceful_shutdown.Shutdown:
// the whole drain. It runs once; all who call it return when it is over. A
// process that exported nothing and served nobody has nothing to drain.
func UnregisterRegistries() { process.unregisterRegistries() }

func (m *manager) unregisterRegistries() {
	m.drainOnce.Do(func() {
		close(m.stop)
		defer close(m.stopped)
		m.mu.Lock()
		exports := m.exports
		m.mu.Unlock()
		defer m.gate.End()
		defer m.giveTime()
		if exports == 0 && len(m.gate.Snapshot().Callers) == 0 {
			m.gate.Close() // readiness
			return
		}
		d := drain{cfg: m.settings().Shutdown, gate: m.gate}
		if tell, ok := extension.LookupGracefulShutdownCallback(constant.TriProtocol); ok {
			d.tell = tell
		}
		for _, r := range m.snapshot() {
			d.targets = append(d.targets, r.targets()...)
		}
		o := d.run()
		m.mu.Lock()
		m.outcome = o
		m.mu.Unlock()
	})
	<-m.stopped
}

// finished prints the report, when the servers have stopped and the books are
// closed, and runs the hooks.
func (m *manager) finished() {
	m.mu.Lock()
	app, addresses, o, hooks := m.app, m.addresses, m.outcome, slices.Clone(m.hooks)
	m.mu.Unlock()
	if !o.marked.IsZero() {
		logger.Infof("%s", newReport(app, addresses, m.gate.Snapshot(), o))
	}
	for _, hook := range hooks {
		hook()
	}
}

// OnStopped adds a function that runs when servers are stopped and clients closed,
// before the program's own shutdown callbacks. Hooks run in order.
func OnStopped(hook func()) {
	process.mu.Lock()
	defer process.mu.Unlock()
	process.hooks = append(process.hooks, hook)
}

// Shutdown shuts the process's dubbo-go down, or joins a shutdown that is under
// way, and returns when it is over: nil, or dubbo-go's error if a callback of the
// program panicked.
//
// When ctx ends first, Shutdown returns its error and the shutdown goes on behind
// it. So a main whose Server.ServeContext returned because its ctx ended must
// call Shutdown(context.Background()) before it returns, or the drain is cut off.
//
// A main that returns by itself, such as that of a job, defers it: its calls end, and the
// providers that it has called hear that it does; else each of them that leaves within five
// minutes waits for it as long as its notice.
//
// A program with shutdown.internal-signal false calls it from its own signal
// handler and ends afterwards.
func Shutdown(ctx context.Context) error {
	process.shutdowns.Store(true)
	done := make(chan error, 1)
	go func() { done <- graceful_shutdown.Shutdown(ctx) }()
	select {
	case err := <-done:
		return err
	case <-process.over:
		return nil
	}
}

// waitForNothing is what dubbo-go's shutdown runs with: its steps wait for
// nothing, since the drain before them has waited for everything.
func waitForNothing() *global.ShutdownConfig {
	return &global.ShutdownConfig{
		Timeout:                     "60s",
		StepTimeout:                 "0s",
		NotifyTimeout:               "2s",
		ConsumerUpdateWaitTime:      "0s",
		OfflineRequestWindowTimeout: "0s",
		InternalSignal:              new(bool), // signals are ours: InstallSignals
		ClosingInvokerExpireTime:    "30s",
	}
}

// InitShutdown makes dubbo-go's graceful shutdown ours, by initialising it first,
// and adds our check to its readiness probe. It belongs into an init function:
// dubbo-go takes the settings of whoever comes first, and each client and server
// comes. Calling it again does nothing.
func InitShutdown() {
	process.initOnce.Do(func() {
		graceful_shutdown.Init(graceful_shutdown.SetShutdownConfig(process.dubbo))
		probe.RegisterReadiness(probeName, process.probeCheck)
		extension.RegisterGracefulShutdownCallback(outgoingName, process.waitOutgoing)
		// dubbo-go runs these when servers and clients are gone, in the order in
		// which they were added; a main adds its own later than we do here.
		extension.AddCustomShutdownCallback(firstCallback)
	})
}

// UseDubboShutdown gives dubbo-go's own steps the user's values back, for mode
// off. It must be called before the first call is served.
func UseDubboShutdown(cfg *global.ShutdownConfig) {
	if cfg == nil {
		return
	}
	ours := process.dubbo
	ours.Timeout = cfg.Timeout
	ours.StepTimeout = cfg.StepTimeout
	ours.NotifyTimeout = cfg.NotifyTimeout
	ours.ConsumerUpdateWaitTime = cfg.ConsumerUpdateWaitTime
	ours.RejectRequestHandler = cfg.RejectRequestHandler
	ours.OfflineRequestWindowTimeout = cfg.OfflineRequestWindowTimeout
	ours.ClosingInvokerExpireTime = cfg.ClosingInvokerExpireTime
}
