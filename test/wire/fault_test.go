// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// listen serves each connection with f until the test ends.
func listen(t *testing.T, f func(net.Conn)) (addr string, stop func()) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				f(c)
			})
		}
	})
	stop = sync.OnceFunc(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	t.Cleanup(stop)
	return l.Addr().String(), stop
}

// reset ends a connection with RST.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// pass hands on to an address what comes, and what it says.
func pass(c net.Conn, addr string) {
	p, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	go func() {
		_, _ = io.Copy(p, c)
		_ = p.Close()
	}()
	_, _ = io.Copy(c, p)
}

// onHeaders serves HTTP/2 up to the headers of each request, which f gets; it ends when
// that says no.
func onHeaders(c net.Conn, f func(fr *http2.Framer, h *http2.MetaHeadersFrame) (more bool)) {
	if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err != nil {
		return
	}
	fr := http2.NewFramer(c, c)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if fr.WriteSettings() != nil {
		return
	}
	for {
		frame, err := fr.ReadFrame()
		if err != nil {
			return
		}
		switch h := frame.(type) {
		case *http2.SettingsFrame:
			if !h.IsAck() {
				_ = fr.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			if !f(fr, h) {
				return
			}
		}
	}
}

// onCall serves Triple until a call's headers have come, then leaves the rest to f.
// Health watches are left alone.
func onCall(f func(c net.Conn, fr *http2.Framer, stream uint32)) func(net.Conn) {
	return func(c net.Conn) {
		onHeaders(c, func(fr *http2.Framer, h *http2.MetaHeadersFrame) bool {
			if strings.HasSuffix(h.PseudoValue("path"), "/Call") {
				f(c, fr, h.StreamID)
			}
			return true
		})
	}
}

// onBytes serves the dubbo protocol until a request of at least n bytes has come.
func onBytes(n int, f func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		if _, err := io.ReadFull(c, make([]byte, n)); err == nil {
			f(c)
		}
	}
}

// onRequest serves the dubbo protocol, and leaves each request to f; heartbeats are
// left alone.
func onRequest(f func(net.Conn)) func(net.Conn) {
	const length, flags, event = 16, 2, 0x20
	return func(c net.Conn) {
		for header := make([]byte, length); ; {
			if _, err := io.ReadFull(c, header); err != nil {
				return
			}
			body := int64(binary.BigEndian.Uint32(header[length-4:]))
			if _, err := io.CopyN(io.Discard, c, body); err != nil {
				return
			}
			if header[flags]&event == 0 {
				f(c)
			}
		}
	}
}
