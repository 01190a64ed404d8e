// SPDX-License-Identifier: Apache-2.0

package child

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// parentEnv makes this test binary start a child, print its pid and the pid of what
// the child started, and end as it is told to.
const (
	parentEnv = "GRAYLANE_CHILD_PARENT" // the folder
	endEnv    = "GRAYLANE_CHILD_END"    // panic, exit, or wait
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(parentEnv); dir != "" {
		parent(dir, os.Getenv(endEnv))
	}
	goleak.VerifyTestMain(m)
}

func parent(dir, end string) {
	said := make(chan string, 1)
	p, err := Start(dir, []string{"/bin/sh", "-c", "sleep 600 & echo $!; wait"}, nil, func(s string) { said <- s })
	if err != nil {
		_, _ = fmt.Fprintln(os.Stdout, err) // the test sees what is missing
		os.Exit(1)
	}
	_, _ = fmt.Fprintln(os.Stdout, p.PID(), <-said) // the test sees what is missing
	switch end {
	case "panic":
		go panic("in a goroutine that nobody guards")
	case "exit":
		os.Exit(0)
	}
	<-p.Done()
	os.Exit(0)
}

// A server must not outlive a test run, however that ends.
//  1. A parent process starts a child through Start, which starts one of its own.
//  2. The parent ends without a word to them.
//  3. Both are gone.
func TestChildrenEndWithTheirParent(t *testing.T) {
	for _, tc := range []struct {
		name, end string
		signal    syscall.Signal
	}{
		{"kill -9", "wait", syscall.SIGKILL},
		{"Ctrl-C", "wait", syscall.SIGINT},
		{"go test -timeout", "wait", syscall.SIGQUIT},
		{"panic", "panic", 0},
		{"exit", "exit", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// 1
			parent := exec.Command(os.Args[0])
			parent.Env = append(os.Environ(), parentEnv+"="+t.TempDir(), endEnv+"="+tc.end)
			parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell starts what it runs
			out, err := parent.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := parent.Start(); err != nil {
				t.Fatal(err)
			}
			var child, grandchild int
			if _, err := fmt.Fscanln(out, &child, &grandchild); err != nil {
				t.Fatalf("no two pids: %v", err)
			}
			// 2
			if tc.signal != 0 {
				if !running(child) || !running(grandchild) {
					t.Fatalf("%d, %d: not both are there before the end", child, grandchild)
				}
				if err := syscall.Kill(-parent.Process.Pid, tc.signal); err != nil { // to its group, as a terminal does
					t.Fatal(err)
				}
			}
			_ = parent.Wait() // "signal: killed", "exit status 2"
			// 3
			awaitGone(t, child)
			awaitGone(t, grandchild)
		})
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
