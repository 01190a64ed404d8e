// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/clients"
	"github.com/nacos-group/nacos-sdk-go/v2/clients/naming_client"
	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/nacos-group/nacos-sdk-go/v2/vo"

	"github.com/graylane/graylane/internal/testkit/need"
)

const service = "rig-order"

// TestServer:
//  1. starts a server,
//  2. one client registers an instance with a tag,
//  3. another is told of it, metadata included,
//  4. and of its leaving,
//  5. closes the server: its ports are free, its address refuses,
//  6. starts it again, without its data: the same address.
func TestServer(t *testing.T) {
	need.Long(t, "starts a JVM twice")
	need.Part(t, Missing())
	dir := t.TempDir()

	// 1
	began := time.Now()
	s, err := Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Logf("first start: %v", time.Since(began).Round(100*time.Millisecond))

	// 2
	provider := client(t, s)
	ok, err := provider.RegisterInstance(vo.RegisterInstanceParam{
		ServiceName: service, Ip: "127.0.0.1", Port: 20001, Weight: 1,
		Enable: true, Healthy: true, Ephemeral: true,
		Metadata: map[string]string{"dubbo.tag": "gray"},
	})
	if err != nil || !ok {
		t.Fatalf("RegisterInstance = %v, %v", ok, err)
	}

	// 3
	lists := make(chan []model.Instance, 100)
	consumer := client(t, s)
	if err := consumer.Subscribe(&vo.SubscribeParam{
		ServiceName: service,
		SubscribeCallback: func(list []model.Instance, err error) {
			if err == nil {
				lists <- list
			}
		},
	}); err != nil {
		t.Fatal(err)
	}
	list := await(t, lists, 1)
	if in := list[0]; in.Ip != "127.0.0.1" || in.Port != 20001 || in.Metadata["dubbo.tag"] != "gray" {
		t.Errorf("pushed instance = %+v, want 127.0.0.1:20001 with dubbo.tag=gray", in)
	}

	// 4
	ok, err = provider.DeregisterInstance(vo.DeregisterInstanceParam{
		ServiceName: service, Ip: "127.0.0.1", Port: 20001, Ephemeral: true,
	})
	if err != nil || !ok {
		t.Fatalf("DeregisterInstance = %v, %v", ok, err)
	}
	await(t, lists, 0)

	// 5
	provider.CloseClient()
	consumer.CloseClient()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close = %v, want nil", err)
	}
	if conn, err := net.DialTimeout("tcp", s.Address(), time.Second); err == nil {
		_ = conn.Close()
		t.Errorf("%s still accepts after Close", s.Address())
	}

	// 6
	address := s.Address()
	if err := s.Empty(); err != nil {
		t.Fatal(err)
	}
	began = time.Now()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("second start: %v", time.Since(began).Round(100*time.Millisecond))
	if s.Address() != address {
		t.Errorf("address after a restart = %s, want %s", s.Address(), address)
	}
	if err := s.Empty(); err == nil {
		t.Error("Empty of a running server: no error")
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("Restart of a running server: no error")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// client returns an SDK client with folders of its own: by default all
// processes share what lies beside the executable.
func client(t *testing.T, s *Server) naming_client.INamingClient {
	t.Helper()
	_, port, err := net.SplitHostPort(s.Address())
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c, err := clients.NewNamingClient(vo.NacosClientParam{
		ClientConfig: constant.NewClientConfig(
			constant.WithCacheDir(filepath.Join(dir, "cache")),
			constant.WithLogDir(filepath.Join(dir, "log")),
			constant.WithLogLevel("error"),
			constant.WithNotLoadCacheAtStart(true),
			constant.WithUpdateCacheWhenEmpty(true), // else it hides that the last instance left
		),
		ServerConfigs: []constant.ServerConfig{*constant.NewServerConfig("127.0.0.1", p)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseClient)
	return c
}

// await returns the first pushed list of n instances.
func await(t *testing.T, lists <-chan []model.Instance, n int) []model.Instance {
	t.Helper()
	deadline := time.After(30 * time.Second)
	var last []model.Instance
	for {
		select {
		case last = <-lists:
			if len(last) == n {
				return last
			}
		case <-deadline:
			t.Fatalf("no list of %d instances within 30s, last %+v", n, last)
		}
	}
}

func TestStartFailureNamesTheCause(t *testing.T) {
	t.Run("bad port file", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, portFile), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := portFor(dir); err == nil {
			t.Error("portFor = nil error, want one that names the file")
		}
	})
	t.Run("kept port is taken", func(t *testing.T) {
		dir := t.TempDir()
		port, kept, err := portFor(dir)
		if err != nil || kept {
			t.Fatalf("portFor = %d, %v, %v, want a new one", port, kept, err)
		}
		var lc net.ListenConfig
		l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:"+strconv.Itoa(port+1001))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		if _, kept, err := portFor(dir); err == nil || !kept {
			t.Errorf("portFor = kept %v, %v, want the kept one and an error", kept, err)
		}
	})
}
