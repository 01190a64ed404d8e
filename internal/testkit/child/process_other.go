// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package child

import (
	"os"
	"syscall"
)

// Attributes gives nothing: there are no process groups here.
func Attributes() *syscall.SysProcAttr { return nil }

// guard does nothing here.
func guard(*os.Process) (release func(), err error) { return func() {}, nil }

// KillGroup kills the process.
func KillGroup(p *os.Process) { _ = p.Kill() }

// InterruptGroup kills the process: there is no other signal here.
func InterruptGroup(p *os.Process) error { return p.Kill() }
