// SPDX-License-Identifier: Apache-2.0

package jvm

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// parentEnv makes this test binary start a child, print its pid and wait.
const parentEnv = "GRAYLANE_RIG_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		p, err := Start(dir, filepath.Join(dir, "out.log"), "sleep", "600")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(p.pid)
		<-p.done
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// A server must not outlive a test run that was killed.
//  1. A parent process starts a child through Start.
//  2. The parent is killed with SIGKILL, so that no code of it runs.
//  3. The child is gone.
func TestChildDiesWithItsParent(t *testing.T) {
	// 1
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("parent said %q: %v", line, err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("parent said %q, want a pid", line)
	}
	if !running(pid) {
		t.Fatalf("child %d is not there before the kill", pid)
	}
	// 2
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // "signal: killed"
	// 3
	awaitGone(t, pid)
}

func TestKillEndsTheProcess(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(dir, filepath.Join(dir, "out.log"), "sleep", "600")
	if err != nil {
		t.Fatal(err)
	}
	if !running(p.pid) {
		t.Fatalf("child %d is not there", p.pid)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if running(p.pid) {
		t.Errorf("child %d is there after kill", p.pid)
	}
}

func TestStartProcessReportsWhatCannotStart(t *testing.T) {
	dir := t.TempDir()
	_, err := Start(dir, filepath.Join(dir, "out.log"), filepath.Join(dir, "no-such-program"))
	if err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("err = %v, want one that names the program", err)
	}
}

func awaitGone(t *testing.T, pid int) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for running(pid) {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("process %d still runs", pid)
		}
	}
}

// running reports whether a process exists and is no zombie: in a container
// nobody may reap an orphan.
func running(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	after := stat[bytes.LastIndexByte(stat, ')')+1:]
	return !bytes.HasPrefix(bytes.TrimSpace(after), []byte("Z"))
}
