// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// dropPackets has the kernel drop whatever arrives for the sockets of this process: a
// filter that accepts no byte. Nothing is acknowledged any more, and a SYN is not
// answered.
func dropPackets() error {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	dropped := 0
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			return err
		}
		if family, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_DOMAIN); err != nil || family != syscall.AF_INET && family != syscall.AF_INET6 {
			continue
		}
		if err := syscall.AttachLsf(fd, []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K}}); err != nil { //nolint:staticcheck // golang.org/x/sys would be a dependency for this line
			return fmt.Errorf("fd %d: %w", fd, err)
		}
		dropped++
	}
	if dropped == 0 {
		return fmt.Errorf("no socket among %d files", len(fds))
	}
	return nil
}
