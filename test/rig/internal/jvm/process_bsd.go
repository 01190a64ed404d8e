// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package jvm

import "syscall"

// No parent-death signal here: a server outlives a parent that is killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
