// SPDX-License-Identifier: Apache-2.0

//go:build unix

package jvm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// bind gives the command a process group of its own, which its cancellation
// kills whole, and ties it to the thread that starts it where the system can.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = attributes()
	cmd.Cancel = func() error {
		err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		if errors.Is(err, syscall.ESRCH) {
			return os.ErrProcessDone
		}
		return err
	}
}

// lockFile takes an exclusive lock on a file, which it creates, and returns
// what releases it. It waits while another process holds it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return func() { _ = f.Close() }, nil // closing releases the lock
}
