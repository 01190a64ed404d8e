// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// guard has a shell kill the group of p as soon as this process is gone: then the
// other end of its input is closed. release ends the guard and must be called when p
// has ended.
func guard(p *os.Process) (release func(), err error) {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", `read -r ended || kill -9 -"$0"`, strconv.Itoa(p.Pid))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // out of reach of Ctrl-C
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return func() {}, fmt.Errorf("guard: %w", err)
	}
	return func() {
		_, _ = input.Write([]byte("ended\n")) // if it is not there any more, it has done its work
		_ = cmd.Wait()
	}, nil
}

// KillGroup kills the process with all it started. A process that is already
// gone is none of its concern.
func KillGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// InterruptGroup does by one signal what Ctrl-C does in a terminal.
func InterruptGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
