// SPDX-License-Identifier: Apache-2.0

package child

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// parentEnv makes this test binary start a child, print its pid and wait.
const parentEnv = "GRAYLANE_CHILD_PARENT"

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		p, err := Start(dir, []string{"sleep", "600"}, nil, func(string) {})
		if err != nil {
			_, _ = fmt.Fprintln(os.Stdout, err) // the test sees what is missing
			os.Exit(1)
		}
		_, _ = fmt.Fprintln(os.Stdout, p.PID()) // the test sees what is missing
		<-p.Done()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
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
