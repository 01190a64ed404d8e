// SPDX-License-Identifier: Apache-2.0

//go:build unix

package child

import (
	"os"
	"syscall"
)

// KillGroup kills the process with all it started. A process that is already
// gone is none of its concern.
func KillGroup(p *os.Process) { _ = syscall.Kill(-p.Pid, syscall.SIGKILL) }

// InterruptGroup does by one signal what Ctrl-C does in a terminal.
func InterruptGroup(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGINT) }
