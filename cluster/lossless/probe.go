// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"errors"
	"net"
	"os"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// probeTimeout bounds one probe, probeEvery the pause after one in vain.
const (
	probeTimeout = time.Second
	probeEvery   = 2 * time.Second
)

// The shortest thing in each protocol that a living server must answer.
const (
	// HTTP/2's client preface with an empty SETTINGS frame (RFC 9113, 3.4): the
	// server sends its own.
	tripleHello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	// A heartbeat of the dubbo protocol: magic, flags (request, two-way, event,
	// hessian2), status, id, length, and hessian's null.
	dubboHello = "\xda\xbb\xe2\x00" + "\x00\x00\x00\x00\x00\x00\x00\x01" + "\x00\x00\x00\x01" + "N"
)

// alive reports whether the process at an address shows a sign of life. That its
// port takes a connection is none: the kernel does that for a process that hangs.
// Any answer is one, also a TLS alert or the end of the connection.
func alive(protocol, address string, timeout time.Duration) bool {
	hello := ""
	switch protocol {
	case constant.TriProtocol:
		hello = tripleHello
	case constant.DubboProtocol:
		hello = dubboHello
	}
	deadline := time.Now().Add(timeout)
	conn, err := net.DialTimeout("tcp", address, timeout)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // only what was read counts
	if hello == "" {
		return true // of a protocol that we do not speak
	}
	if err := conn.SetDeadline(deadline); err != nil {
		return false
	}
	if _, err := conn.Write([]byte(hello)); err != nil {
		return !errors.Is(err, os.ErrDeadlineExceeded)
	}
	_, err = conn.Read(make([]byte, 1))
	return !errors.Is(err, os.ErrDeadlineExceeded)
}
