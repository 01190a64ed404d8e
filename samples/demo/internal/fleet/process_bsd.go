// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package fleet

import "syscall"

// No parent-death signal here: children outlive a demo that is killed with -9.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
