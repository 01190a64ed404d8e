// SPDX-License-Identifier: Apache-2.0

package etcd_test

import (
	"context"
	"net"
	"os"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/testkit/etcd"
)

func TestMain(m *testing.M) {
	etcd.Child()
	os.Exit(m.Run())
}

// 1. an etcd in a process of its own takes a value
// 2. killed, it takes no connection; running, it can be neither emptied nor restarted
// 3. restarted, it has the value, at the same address
// 4. emptied, it has not.
func TestProcess(t *testing.T) {
	// 1.
	p, err := etcd.StartProcess(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	address := p.Address()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}

	// 2.
	if err := p.Empty(); err == nil {
		t.Error("Empty of a running etcd: no error")
	}
	if err := p.Restart(ctx); err == nil {
		t.Error("Restart of a running etcd: no error")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("the killed etcd still accepts connections")
	}

	// 3.
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, "k"); err != nil || got.Count != 1 || p.Address() != address {
		t.Errorf("after a restart at %s: %v, %v, want one value at %s", p.Address(), got, err, address)
	}

	// 4.
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Empty(); err != nil {
		t.Fatal(err)
	}
	if err := p.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Get(ctx, "k"); err != nil || got.Count != 0 {
		t.Errorf("after a restart without data: %v, %v, want no value", got, err)
	}
}
