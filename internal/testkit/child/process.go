// SPDX-License-Identifier: Apache-2.0

// Package child runs programs that must not outlive whoever started them: those
// of tests, rigs and the demo.
//
// A child and all that it started in its process group end with the parent, however
// that ends: by kill -9, by Ctrl-C, by a panic, or by returning from main. On Unix a
// small shell beside each child sees to it; on Linux the kernel ends the child itself
// even before. Elsewhere children outlive a parent that does not kill them.
package child

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// LogName is the file in a process's folder that holds what it wrote.
const LogName = "out.log"

// killTimeout bounds the wait for a killed process.
const killTimeout = 10 * time.Second

// Process is one child, with a folder and a process group of its own. Safe for
// concurrent use.
type Process struct {
	Dir string

	cmd  *exec.Cmd
	in   io.Writer
	done chan struct{} // closed when it is gone and reaped
	err  error         // of its end; read after done
}

// Start runs argv in dir and hands each line of its output to line, which one
// goroutine calls. The output is also kept in the file LogName.
func Start(dir string, argv, env []string, line func(string)) (*Process, error) {
	file, err := os.OpenFile(filepath.Join(dir, LogName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("child: %w", err)
	}
	out := &splitter{file: file, line: line}
	cmd := exec.CommandContext(context.Background(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = Attributes()
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("child: %w", err), file.Close())
	}
	p := &Process{Dir: dir, cmd: cmd, in: in, done: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		// The kernel ends the child with the thread that started it, so that
		// thread waits here as long as the child lives.
		runtime.LockOSThread()
		defer close(p.done)
		defer func() { _ = file.Close() }()
		err := cmd.Start()
		if err != nil {
			started <- err
			return
		}
		release, err := guard(cmd.Process)
		if err != nil {
			KillGroup(cmd.Process)
		}
		started <- err
		p.err = cmd.Wait()
		release()
		out.flush()
	}()
	if err := <-started; err != nil {
		<-p.done
		return nil, fmt.Errorf("child: %w", err)
	}
	return p, nil
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process is gone and all it wrote has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process is still there.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Tell writes a line to the standard input of the process, which stays open as long
// as both processes live.
func (p *Process) Tell(line string) error {
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return fmt.Errorf("child: telling process %d: %w", p.PID(), err)
	}
	return nil
}

// Signal sends a signal and returns the time just before it was sent.
func (p *Process) Signal(sig syscall.Signal) (time.Time, error) {
	at := time.Now()
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		return at, fmt.Errorf("child: process %d has already ended: %w", p.PID(), err)
	}
	return at, err
}

// Wait waits until the process is gone, at most for limit.
func (p *Process) Wait(ctx context.Context, limit time.Duration) error {
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-late.C:
		return fmt.Errorf("child: process %d is still there %v later", p.PID(), limit)
	}
}

// Kill ends the process and its group at once and waits until it is gone.
// Killing one that has ended does nothing.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	KillGroup(p.cmd.Process)
	select {
	case <-p.done:
		return nil
	case <-time.After(killTimeout):
		return fmt.Errorf("child: process %d is still there %v after kill -9", p.PID(), killTimeout)
	}
}

// splitter copies output to a file and cuts it into lines.
type splitter struct {
	mu   sync.Mutex
	file io.Writer
	line func(string)
	rest []byte
}

func (s *splitter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.file.Write(b); err != nil {
		return 0, err
	}
	s.rest = append(s.rest, b...)
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		s.line(string(s.rest[:i]))
		s.rest = s.rest[i+1:]
	}
}

// flush hands over a last line that was never ended.
func (s *splitter) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.rest) > 0 {
		s.line(string(s.rest))
		s.rest = nil
	}
}
