// SPDX-License-Identifier: Apache-2.0

package jvm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// ErrDied reports a server that ended while it was awaited.
var ErrDied = errors.New("died at start")

// killTimeout bounds the wait for a killed process; only a process stuck in the
// kernel takes longer.
const killTimeout = 10 * time.Second

// Process is a child that does not outlive this process.
type Process struct {
	pid  int
	end  context.CancelFunc // kills it
	done chan struct{}      // closed when it is gone and reaped
}

// Start starts a program in dir, its output in the file logPath.
func Start(dir, logPath, name string, args ...string) (*Process, error) {
	out, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("rig: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	bind(cmd)

	p := &Process{end: cancel, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread waits here as long as the child lives.
		runtime.LockOSThread()
		defer close(p.done)
		defer cancel()
		defer func() { _ = out.Close() }() // written by the child only
		err := cmd.Start()
		if err == nil {
			p.pid = cmd.Process.Pid
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("rig: %w", err)
	}
	return p, nil
}

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Kill ends the process with its group and waits until it is gone. A second call
// does nothing.
func (p *Process) Kill() error {
	p.end()
	select {
	case <-p.done:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("rig: process %d: still there %v after it was killed", p.pid, killTimeout)
	}
}

// Tail returns the last n lines of a file, or why it cannot be read.
func Tail(path string, n int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(raw), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
