// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package fleet

import (
	"os"
	"syscall"
)

// No process groups here: the process alone is killed, which starts no others.
func attributes() *syscall.SysProcAttr { return nil }

func killGroup(p *os.Process) { _ = p.Kill() }

func interruptGroup(p *os.Process) error { return p.Kill() }
