// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package child

import "syscall"

// Attributes gives a command a process group of its own. There is no parent-death
// signal here.
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
