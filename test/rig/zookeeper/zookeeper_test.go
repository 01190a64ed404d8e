// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"

	"github.com/graylane/graylane/internal/testkit/need"
)

// TestServer:
//  1. starts a server, which keeps a node,
//  2. closes it: its address refuses,
//  3. starts it again: same address, the node is there,
//  4. and again without its data: the node is not there.
func TestServer(t *testing.T) {
	need.Long(t, "starts a JVM three times")
	need.Part(t, Missing())

	// 1
	began := time.Now()
	s, err := Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("first start: %v", time.Since(began).Round(100*time.Millisecond))
	address := s.Address()
	if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
		t.Fatalf("Address() = %q, %v, want 127.0.0.1:port", address, err)
	}
	conn, _, err := zk.Connect([]string{address}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Create("/node", []byte("kept"), 0, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	conn.Close()

	// 2
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
	if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
		_ = c.Close()
		t.Errorf("%s still accepts after Close", address)
	}

	// 3
	began = time.Now()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("second start: %v", time.Since(began).Round(100*time.Millisecond))
	again, _, err := zk.Connect([]string{s.Address()}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got, _, err := again.Get("/node"); err != nil || string(got) != "kept" || s.Address() != address {
		t.Errorf("after a restart at %s: %q, %v, want kept at %s", s.Address(), got, err, address)
	}

	// 4
	if err := s.Empty(); err == nil {
		t.Error("Empty of a running server: no error")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart of a running server: no error")
	}
	if err := errors.Join(s.Close(), s.Empty(), s.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	empty, _, err := zk.Connect([]string{s.Address()}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		t.Fatal(err)
	}
	defer empty.Close()
	if there, _, err := empty.Exists("/node"); err != nil || there {
		t.Errorf("after a restart without data: /node exists: %v, %v", there, err)
	}
}
