// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
)

// TestAlive: what counts as a sign of life. The real servers, and one that is
// stopped, are in test/chaos.
func TestAlive(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for _, tc := range []struct {
		name, protocol string
		serve          func(net.Conn) // nil: the kernel takes the connection, nobody else
		want           bool
	}{
		{"hangs", constant.TriProtocol, nil, false},
		{"hangs", constant.DubboProtocol, nil, false},
		{"hangs", "other", nil, true}, // not to be told
		{"closes", constant.TriProtocol, func(c net.Conn) { _ = c.Close() }, true},
		{"answers", constant.TriProtocol, func(c net.Conn) { greet(t, c, tripleHello) }, true},
		{"answers", constant.DubboProtocol, func(c net.Conn) { greet(t, c, dubboHello) }, true},
	} {
		served := make(chan net.Conn, 1)
		if tc.serve != nil {
			go func() {
				c, err := l.Accept()
				if err == nil {
					tc.serve(c)
				}
				served <- c
			}()
		}
		wait := 50 * time.Millisecond
		if tc.want {
			wait = 10 * time.Second
		}
		if got := alive(tc.protocol, l.Addr().String(), wait); got != tc.want {
			t.Errorf("%s over %s: %v, want %v", tc.name, tc.protocol, got, tc.want)
		}
		if tc.serve == nil { // take it out of the backlog
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			served <- c
		}
		_ = (<-served).Close()
	}
	address := l.Addr().String()
	_ = l.Close()
	if alive(constant.TriProtocol, address, time.Second) {
		t.Error("nobody listens there")
	}
}

// greet reads a greeting and answers with one byte.
func greet(t *testing.T, c net.Conn, hello string) {
	t.Helper()
	got := make([]byte, len(hello))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != hello {
		t.Errorf("read %q, %v", got, err)
	}
	_, _ = c.Write([]byte{0})
}

// TestLostSession: a session that was lost puts the instance out for good only if nobody
// is there: dubbo-go's client may have it from the process before.
func TestLostSession(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := endpoint.Shared.Acquire(l.Addr().String(), "lost-session", "", endpoint.Birth{})
	defer endpoint.Shared.Release(i)
	news := make(chan struct{}, 8)
	defer endpoint.Shared.Watch(func() { news <- struct{}{} })()
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		if !i.Outlier() {
			t.Error("calls go to it before anybody has looked")
		}
		_, _ = c.Write([]byte{0})
	}()
	doubt(i, constant.DubboProtocol, gettyClosed)
	<-news // out
	<-looked
	<-news // in
	if i.Outlier() {
		t.Error("somebody is there, and it is kept out")
	}
	_ = l.Close()
	ejected := stats.ejected.Load()
	doubt(i, constant.DubboProtocol, gettyClosed)
	<-news
	for stats.ejected.Load() == ejected {
		runtime.Gosched()
	}
	if !i.Outlier() {
		t.Error("nobody is there, and it is not kept out")
	}
}
