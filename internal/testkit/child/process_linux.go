// SPDX-License-Identifier: Apache-2.0

package child

import "syscall"

// Attributes gives a command a process group of its own and ties it to the thread
// that starts it, where the system can: see [runtime.LockOSThread].
func Attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
