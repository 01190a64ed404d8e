// SPDX-License-Identifier: Apache-2.0

//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/samples/demo/internal/report"
	"github.com/graylane/graylane/test/rig/nacos"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// program builds the demo once for a test.
func program(t *testing.T) string {
	t.Helper()
	need.Long(t, "starts ten processes")
	exe := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exe, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return exe
}

// started is a demo that runs.
type started struct {
	t      *testing.T
	cmd    *exec.Cmd
	tmp    string // its TMPDIR
	stdout io.ReadCloser
	stderr bytes.Buffer
}

func start(t *testing.T, exe string, args ...string) *started {
	t.Helper()
	d := &started{t: t, tmp: t.TempDir()}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	t.Cleanup(cancel)
	d.cmd = exec.CommandContext(ctx, exe, args...)
	d.cmd.Env = append(os.Environ(), "TMPDIR="+d.tmp)
	d.cmd.Stderr = &d.stderr
	d.cmd.SysProcAttr = child.Attributes()
	runtime.LockOSThread() // the kernel ends the demo with the thread that started it
	t.Cleanup(runtime.UnlockOSThread)
	var err error
	if d.stdout, err = d.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return d
}

// end waits for the demo and returns its exit code. Nothing of it may be left.
func (d *started) end() int {
	d.t.Helper()
	err := d.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		d.t.Fatal(err)
	}
	left, err := os.ReadDir(d.tmp)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range left {
		if strings.HasPrefix(f.Name(), "graylane-demo-") {
			d.t.Errorf("%s is left", f.Name())
		}
	}
	for _, p := range processesOf(d.tmp) {
		d.t.Errorf("a process is left: %s", p)
	}
	return d.cmd.ProcessState.ExitCode()
}

// processesOf lists running processes with dir in their command line (on Linux).
func processesOf(dir string) []string {
	var out []string
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && bytes.Contains(b, []byte(dir)) {
			out = append(out, strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	return out
}

// passes runs the demo to its end and checks what it says of itself.
func passes(t *testing.T, exe string, args ...string) report.Summary {
	t.Helper()
	d := start(t, exe, append(args, "-json")...)
	out, err := io.ReadAll(d.stdout)
	if err != nil {
		t.Fatal(err)
	}
	code := d.end()
	t.Logf("%s\n%s", d.stderr.Bytes(), out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var s report.Summary
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &s); err != nil {
		t.Fatalf("the last line is not the summary: %v", err)
	}
	if code != 0 || !s.Pass {
		t.Errorf("exit code %d, pass %v, faults %q", code, s.Pass, s.Faults)
	}
	if s.Leaked != 0 || s.Duplicates != 0 || s.Unexplained != 0 || s.Requests == 0 || s.Fallbacks == 0 || len(s.LastNewCallMS) < 16 {
		t.Errorf("summary %+v", s)
	}
	return s
}

// A rate at which a machine that also compiles the other packages keeps up, and a
// bound that such a machine does not reach: tests prove counts, the demo measures.
const testRate, testTimeout = "30", "15s"

func TestDemo(t *testing.T) {
	exe := program(t)
	s := passes(t, exe, "-rate", testRate, "-timeout", testTimeout)
	if s.Registry != "embedded" || s.Level != "application" {
		t.Errorf("ran on %s, level %s, want the defaults", s.Registry, s.Level)
	}

	t.Run("interrupted", func(t *testing.T) {
		d := start(t, exe, "-rate", testRate, "-timeout", testTimeout)
		for lines := bufio.NewScanner(d.stdout); lines.Scan(); {
			if strings.Contains(lines.Text(), "1 lanes") { // all processes are up, under load
				break
			}
		}
		if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, d.stdout)
		if code := d.end(); code != 1 || !strings.Contains(d.stderr.String(), "interrupted") {
			t.Errorf("exit code %d, want 1 and a word about it:\n%s", code, d.stderr.Bytes())
		}
	})

	t.Run("interrupted while it builds", func(t *testing.T) {
		_, err := os.Stat("/proc/self/cmdline") // the linker is seen in /proc
		need.Part(t, err)
		d := start(t, exe)
		for end := time.Now().Add(time.Minute); !slices.ContainsFunc(processesOf(d.tmp), func(p string) bool { return strings.Contains(p, "/link ") }); {
			if time.Now().After(end) {
				t.Fatal("no linker was seen")
			}
			time.Sleep(10 * time.Millisecond)
		}
		if err := d.cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, d.stdout)
		if code := d.end(); code != 1 || !strings.Contains(d.stderr.String(), "interrupted") {
			t.Errorf("exit code %d, want 1 and a word about it:\n%s", code, d.stderr.Bytes())
		}
	})

	t.Run("registry that cannot be reached", func(t *testing.T) {
		address := ports.Dead()
		d := start(t, exe, "-registry", "etcd://"+address)
		_, _ = io.Copy(io.Discard, d.stdout)
		code := d.end()
		lines := strings.Split(strings.TrimSpace(d.stderr.String()), "\n")
		if last := lines[len(lines)-1]; code != 1 || !strings.HasPrefix(last, "demo: -registry etcd://"+address) {
			t.Errorf("exit code %d, last line %q", code, last)
		}
	})
}

// Real servers, a level each; both at once, for a demo mostly waits.
func TestDemoOnRealServers(t *testing.T) {
	need.Long(t, "starts ten processes and a server, twice")
	need.Part(t, nacos.Missing(), zookeeper.Missing())
	exe := program(t)
	for _, tc := range []struct{ registry, level string }{
		{"rig:nacos", "application"},
		{"rig:zookeeper", "interface"},
	} {
		t.Run(tc.registry, func(t *testing.T) {
			t.Parallel()
			s := passes(t, exe, "-rate", testRate, "-timeout", testTimeout, "-registry", tc.registry, "-level", tc.level)
			if s.Registry != tc.registry || s.Level != tc.level {
				t.Errorf("ran on %s, level %s, want %s, %s", s.Registry, s.Level, tc.registry, tc.level)
			}
		})
	}
}
