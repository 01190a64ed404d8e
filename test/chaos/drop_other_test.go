// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package chaos

import "errors"

func dropPackets() error { return errors.New("packets can be dropped on Linux only") }
