// SPDX-License-Identifier: Apache-2.0

package etcd_test

import (
	"context"
	"net"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/testkit/etcd"
)

func TestRestartKeepsPortAndData(t *testing.T) {
	s, err := etcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	endpoint := s.Endpoint()
	if host, _, err := net.SplitHostPort(endpoint); err != nil || host != "127.0.0.1" {
		t.Fatalf("Endpoint() = %q, %v, want 127.0.0.1:port", endpoint, err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := c.Put(ctx, "k", "v"); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err == nil {
		t.Error("Restart of a running node: no error")
	}
	watch := c.Watch(clientv3.WithRequireLeader(ctx), "k") // an open stream must not hold up the stop
	start := time.Now()
	s.Stop()
	if took := time.Since(start); took > 4*time.Second {
		t.Errorf("Stop with an open watch took %v", took)
	}
	s.Stop()
	if conn, err := net.Dial("tcp", endpoint); err == nil {
		_ = conn.Close()
		t.Error("the stopped node still accepts connections")
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if s.Endpoint() != endpoint {
		t.Errorf("Endpoint() after restart = %q, want %q", s.Endpoint(), endpoint)
	}
	got, err := c.Get(ctx, "k")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "v" {
		t.Errorf("Get after restart = %v, %v, want one value v", got, err)
	}
	if _, err := c.Put(ctx, "k", "w"); err != nil {
		t.Fatal(err)
	}
	if resp := <-watch; len(resp.Events) == 0 || string(resp.Events[len(resp.Events)-1].Kv.Value) != "w" {
		t.Errorf("watch after restart: got %v, want value w", resp)
	}
}

func TestStartWantsFolder(t *testing.T) {
	if _, err := etcd.Start(""); err == nil {
		t.Error("Start(\"\"): no error")
	}
}
