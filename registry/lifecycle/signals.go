// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"os"
	"os/signal"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common/extension"
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
	process.signalled.Store(&first)
	if err := Shutdown(context.Background()); err != nil {
		logger.Errorf("[graylane] shutdown: %v", err)
		exit(1)
	}
	leave(first) // a shutdown without the callbacks: dubbo-go's was over before
}

// firstCallback closes the books when servers and clients are gone. After a signal
// it also runs the other callbacks and ends the process, instead of returning to
// dubbo-go: in v3.3.2 every dubbo.Load adds a callback that waits for ever, for a
// file watcher that it counts twice, and dubbo-go gives up on it after a minute.
//
// Where the program called Shutdown and has such a callback, the others run here
// too, Shutdown returns, and dubbo-go is left waiting for that minute.
func firstCallback() {
	process.finishOnce.Do(process.finished)
	first := process.signalled.Load()
	var others []func()
	hangs := false
	callbacks := extension.GetAllCustomShutdownCallbacks()
	for e := callbacks.Front(); e != nil; e = e.Next() {
		f, ok := e.Value.(func())
		switch {
		case !ok || own(f):
		case neverReturns(f):
			hangs = true
		default:
			others = append(others, f)
		}
	}
	if first == nil && (!hangs || !process.shutdowns.Load()) {
		return
	}
	for _, f := range others {
		guarded(f)
	}
	if first != nil {
		leave(*first)
	}
	close(process.over)
	select {} // or dubbo-go would run them again
}

func own(f func()) bool {
	return reflect.ValueOf(f).Pointer() == reflect.ValueOf(firstCallback).Pointer()
}

// neverReturns tells dubbo.Load's callback.
func neverReturns(f func()) bool {
	return strings.HasPrefix(runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name(), "dubbo.apache.org/dubbo-go/v3.Load.")
}

// guarded runs a callback of the program as dubbo-go does: a panic ends it alone.
func guarded(f func()) {
	defer func() {
		if r := recover(); r != nil {
			logger.Warnf("[graylane] shutdown callback panicked: %v", r)
		}
	}()
	f()
}

func leave(sig os.Signal) {
	if slices.Contains(graceful_shutdown.DumpHeapShutdownSignals, sig) {
		debug.WriteHeapDump(os.Stdout.Fd())
	}
	exit(0)
}
