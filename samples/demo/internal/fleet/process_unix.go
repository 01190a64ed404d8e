// SPDX-License-Identifier: Apache-2.0

//go:build unix

package fleet

import (
	"os"
	"syscall"
)

// killGroup kills the process with all it started. A process that is already
// gone is none of its concern.
func killGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// interruptGroup does by one signal what Ctrl-C does in a terminal.
func interruptGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
