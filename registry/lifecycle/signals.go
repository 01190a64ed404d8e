// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"

	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"github.com/dubbogo/gost/log/logger"
)

// InstallSignals makes the process shut down on the first of dubbo-go's shutdown
// signals (SIGTERM and SIGINT among them) and exit with 0; a second signal, of any
// of these kinds, exits at once with 1. Signals that dubbo-go dumps the heap on
// (SIGQUIT, SIGABRT) still do. Call it only where shutdown.internal-signal is not
// false. Calling it again does nothing.
func InstallSignals() {
	process.signalsOnce.Do(func() {
		signals := make(chan os.Signal, 2)
		signal.Notify(signals, graceful_shutdown.ShutdownSignals...)
		go handle(signals)
	})
}

func handle(signals <-chan os.Signal) {
	first := <-signals
	logger.Infof("[graylane] signal %v: shutting down", first)
	go func() {
		second := <-signals
		logger.Warnf("[graylane] signal %v during shutdown: leaving at once", second)
		exit(1)
	}()
	code := 0
	if err := Shutdown(context.Background()); err != nil {
		logger.Errorf("[graylane] shutdown: %v", err)
		code = 1
	}
	if slices.Contains(graceful_shutdown.DumpHeapShutdownSignals, first) {
		debug.WriteHeapDump(os.Stdout.Fd())
	}
	exit(code)
}
