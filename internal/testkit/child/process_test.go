// SPDX-License-Identifier: Apache-2.0

//go:build linux

package child

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lines collects what a process writes.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *lines) get() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

func shell(t *testing.T, script string, l *lines) *Process {
	t.Helper()
	p, err := Start(t.TempDir(), []string{"/bin/sh", "-c", script}, []string{"WORD=environment"}, l.add)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Kill() })
	return p
}

func TestOutputIsCutIntoLines(t *testing.T) {
	l := &lines{}
	p := shell(t, `echo one; echo two >&2; printf "$WORD without end"`, l)
	if err := p.Wait(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, want := l.get(), []string{"one", "two", "environment without end"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	b, err := os.ReadFile(filepath.Join(p.Dir, LogName))
	if err != nil || string(b) != "one\ntwo\nenvironment without end" {
		t.Errorf("file %q, %v", b, err)
	}
}

func TestTell(t *testing.T) {
	l := &lines{}
	p := shell(t, `read a; read b; echo "$b $a"`, l)
	for _, line := range []string{"one", "two"} {
		if err := p.Tell(line); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Wait(context.Background(), time.Minute); err != nil {
		t.Fatal(err)
	}
	if got, want := l.get(), []string{"two one"}; !slices.Equal(got, want) {
		t.Errorf("lines %q, want %q", got, want)
	}
	if err := p.Tell("three"); err == nil {
		t.Error("a process that has ended was told something")
	}
}

func TestSigtermIsAnsweredAndTimed(t *testing.T) {
	l, up := &lines{}, make(chan struct{})
	p, err := Start(t.TempDir(), []string{"/bin/sh", "-c", `trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.01; done`}, nil, func(s string) {
		l.add(s)
		if s == "up" {
			close(up)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Kill() //nolint:errcheck // ended below
	<-up
	before := time.Now()
	at, err := p.Signal(syscall.SIGTERM)
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("signal at %v, %v", at, err)
	}
	if err := p.Wait(context.Background(), time.Minute); err != nil {
		t.Error(err)
	}
	if got := l.get(); !slices.Contains(got, "bye") {
		t.Errorf("lines %q: what was written at the end is missing when Wait returns", got)
	}
	if _, err := p.Signal(syscall.SIGTERM); err == nil {
		t.Error("a process that has ended took a signal")
	}
}

// kill -9 takes the whole group, and at once.
func TestKillTakesTheGroup(t *testing.T) {
	child := make(chan int, 1)
	p, err := Start(t.TempDir(), []string{"/bin/sh", "-c", `sleep 600 & echo $!; wait`}, nil, func(s string) {
		if pid, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
			child <- pid
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	pid := <-child
	if !p.Running() {
		t.Fatal("not running")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if p.Running() {
		t.Error("still running")
	}
	if err := p.Kill(); err != nil {
		t.Errorf("killing again: %v", err)
	}
	awaitGone(t, pid)
}

// running reports whether a process is there and not a zombie.
func running(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, state, ok := strings.Cut(string(b), ") ")
	return ok && !strings.HasPrefix(state, "Z")
}

func TestWaitIsBounded(t *testing.T) {
	p := shell(t, "sleep 600", &lines{})
	if err := p.Wait(context.Background(), time.Millisecond); err == nil || !strings.Contains(err.Error(), "still there") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.Wait(ctx, time.Hour); err == nil {
		t.Error("Wait outlived its context")
	}
}

func TestProgramThatIsMissing(t *testing.T) {
	if _, err := Start(t.TempDir(), []string{"/does/not/exist"}, nil, func(string) {}); err == nil {
		t.Error("no error")
	}
}
