// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/go-zookeeper/zk"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/internal/center"
	testetcd "github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	_ "github.com/graylane/graylane/registry/etcd"
	_ "github.com/graylane/graylane/registry/zookeeper"
	"github.com/graylane/graylane/test/rig/nacos"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// patience bounds the wait for what must come: far above what it takes, so that a
// busy machine fails nothing.
const patience = 60 * time.Second

// centre is a real config centre and somebody who writes to it.
type centre struct {
	protocol string
	params   []string // of its URL
	own      string   // the group that dubbo-go reads first, with these params
	none     string   // the emptiest text that can be written

	address func() string
	put     func(group, key, text string) error
	remove  func(group, key string) error
	stop    func() error
	restart func(context.Context) error
}

func (c *centre) url() *common.URL {
	opts := []common.Option{common.WithParamsValue(constant.ClientNameKey, "test")}
	for n := 0; n < len(c.params); n += 2 {
		opts = append(opts, common.WithParamsValue(c.params[n], c.params[n+1]))
	}
	u, err := common.NewURL(c.protocol+"://"+c.address(), opts...)
	if err != nil {
		panic(err)
	}
	return u
}

func (c *centre) source(t *testing.T) center.Source {
	t.Helper()
	s, ok, err := center.New(c.url())
	if err != nil || !ok {
		t.Fatalf("source of %s: %t, %v", c.protocol, ok, err)
	}
	return s
}

// centres are the config centres that promise the same.
var centres = []struct {
	name  string
	start func(t *testing.T) *centre
}{{"etcd", startEtcd}, {"zookeeper", startZooKeeper}, {"nacos", startNacos}}

func startEtcd(t *testing.T) *centre {
	t.Helper()
	s, err := testetcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	do := func(f func(context.Context, *clientv3.Client) error) error {
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, DialTimeout: patience})
		if err != nil {
			return err
		}
		defer func() { _ = c.Close() }()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return f(ctx, c)
	}
	return &centre{
		protocol: "etcdv3", params: []string{constant.ConfigGroupKey, "shop"}, own: "shop", address: s.Endpoint,
		put: func(group, key, text string) error {
			return do(func(ctx context.Context, c *clientv3.Client) error {
				_, err := c.Put(ctx, "/dubbo/config/"+group+"/"+key, text)
				return err
			})
		},
		remove: func(group, key string) error {
			return do(func(ctx context.Context, c *clientv3.Client) error {
				_, err := c.Delete(ctx, "/dubbo/config/"+group+"/"+key)
				return err
			})
		},
		stop:    func() error { s.Stop(); return nil },
		restart: func(context.Context) error { return s.Restart() },
	}
}

func startZooKeeper(t *testing.T) *centre {
	t.Helper()
	need.Long(t, "starts a JVM")
	need.Part(t, zookeeper.Missing())
	s, err := zookeeper.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var mu sync.Mutex
	var conn *zk.Conn
	do := func(f func(*zk.Conn) error) error {
		mu.Lock()
		defer mu.Unlock()
		if conn == nil {
			if conn, _, err = zk.Connect([]string{s.Address()}, 10*time.Second, zk.WithLogInfo(false)); err != nil {
				return err
			}
			t.Cleanup(conn.Close)
		}
		return f(conn)
	}
	return &centre{
		protocol: "zookeeper", params: []string{constant.ConfigNamespaceKey, "shop"}, own: "shop", address: s.Address,
		put: func(group, key, text string) error {
			return do(func(c *zk.Conn) error {
				node := path.Join("/dubbo/config", group, key)
				for parent, rest := "", strings.Split(node, "/")[1:]; len(rest) > 1; rest = rest[1:] {
					parent += "/" + rest[0]
					if _, err := c.Create(parent, nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
						return err
					}
				}
				_, err := c.Create(node, []byte(text), 0, zk.WorldACL(zk.PermAll))
				if errors.Is(err, zk.ErrNodeExists) {
					_, err = c.Set(node, []byte(text), -1)
				}
				return err
			})
		},
		remove: func(group, key string) error {
			return do(func(c *zk.Conn) error { return c.Delete(path.Join("/dubbo/config", group, key), -1) })
		},
		stop: s.Close, restart: s.Restart,
	}
}

func startNacos(t *testing.T) *centre {
	t.Helper()
	need.Long(t, "starts a JVM")
	need.Part(t, nacos.Missing())
	dir := t.TempDir()
	s, err := nacos.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	address := s.Address()
	do := func(method string, values url.Values) error {
		req, err := http.NewRequestWithContext(context.Background(), method, "http://"+address+"/nacos/v1/cs/configs?"+values.Encode(), nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err == nil && string(body) != "true" {
			err = fmt.Errorf("status %d: %s", resp.StatusCode, body)
		}
		return err
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return &centre{
		protocol: "nacos", own: "DEFAULT_GROUP", none: "# none", address: func() string { return address },
		put: func(group, key, text string) error {
			return do(http.MethodPost, url.Values{"dataId": {key}, "group": {group}, "content": {text}})
		},
		remove: func(group, key string) error {
			return do(http.MethodDelete, url.Values{"dataId": {key}, "group": {group}})
		},
		stop: func() error { return s.Close() },
		restart: func(ctx context.Context) (err error) {
			s, err = nacos.Start(ctx, dir)
			return err
		},
	}
}

// watchedApp is the application whose rules the tests follow.
const watchedApp = "order"

// text is a rule of watchedApp that names one tag.
func text(tag string) string {
	return fmt.Sprintf("configVersion: v3.0\nforce: false\nenabled: true\nkey: %s\ntags:\n  - name: %s\n    addresses: [\"10.0.0.1:20000\"]\n", watchedApp, tag)
}

// watched is the rule of watchedApp as a reference sees it.
type watched struct {
	t     *testing.T
	store *tagrouter.Store
	news  chan struct{}

	mu   sync.Mutex
	seen []string // every change, in order, "" for none
}

func watch(t *testing.T, store *tagrouter.Store) *watched {
	t.Helper()
	w := &watched{t: t, store: store, news: make(chan struct{}, 1)}
	t.Cleanup(store.Follow(watchedApp, func() {
		w.mu.Lock()
		w.seen = append(w.seen, w.tag())
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}))
	return w
}

// tag is what the rule in force names, "" for none.
func (w *watched) tag() string {
	if r := w.store.Rule(watchedApp); r != nil {
		return strings.Join(r.Tags(), ",")
	}
	return ""
}

// expect waits until the rule in force is the one for tag, and returns how long it
// took from began on.
func (w *watched) expect(tag string, began time.Time) time.Duration {
	w.t.Helper()
	late := time.NewTimer(patience)
	defer late.Stop()
	for w.tag() != tag {
		select {
		case <-w.news:
		case <-late.C:
			w.t.Fatalf("rule of %s: %q after %v, want %q", watchedApp, w.tag(), patience, tag)
		}
	}
	return time.Since(began)
}

// changes returns the changes since the last time.
func (w *watched) changes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}
