// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func at(location string) *common.URL {
	u := common.NewURLWithOptions()
	u.Location = location
	return u
}

// TestSettings: what of dubbogo.yml leads where.
func TestSettings(t *testing.T) {
	for _, tc := range []struct {
		location string
		params   []string
		servers  string
		root     string
		groups   string
		err      string
	}{
		{location: "127.0.0.1:2181", servers: "127.0.0.1:2181", root: "/dubbo/config", groups: "dubbo"},
		{location: "127.0.0.1, localhost:2182", servers: "127.0.0.1:2181 localhost:2182", root: "/dubbo/config", groups: "dubbo"},
		{location: "a:1", params: []string{constant.ConfigNamespaceKey, "shop"}, servers: "a:1", root: "/dubbo/config", groups: "shop dubbo"},
		{location: "a:1", params: []string{constant.ConfigRootPathParamKey, "x/y/"}, servers: "a:1", root: "/x/y", groups: "dubbo"},
		{location: "", err: "address"},
		{location: "a:1", params: []string{"base64", "often"}, err: "base64"},
	} {
		u := at(tc.location)
		for n := 0; n < len(tc.params); n += 2 {
			u.SetParam(tc.params[n], tc.params[n+1])
		}
		r, err := newRules(u)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q %v: error %v, want one that names %s", tc.location, tc.params, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %v: %v", tc.location, tc.params, err)
			continue
		}
		if got := strings.Join(r.servers, " "); got != tc.servers || r.root != tc.root || strings.Join(r.Groups(), " ") != tc.groups {
			t.Errorf("%q %v: %q, %q, %v; want %q, %q, %s", tc.location, tc.params, got, r.root, r.Groups(), tc.servers, tc.root, tc.groups)
		}
	}
}

func TestCheckRefused(t *testing.T) {
	r, err := newRules(at("127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := r.Check(ctx); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Check: %v, want address and cause", err)
	}
}

// serve starts a server.
func serve(t *testing.T, dir string) *zookeeper.Server {
	t.Helper()
	need.Long(t, "starts a JVM")
	need.Part(t, zookeeper.Missing())
	s, err := zookeeper.Start(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestLostData: what no session survives, and dubbo-go's own listener neither.
//
//  1. a text in base64 is followed, the centre answers
//  2. the server stops and loses its data, sessions included
//  3. it comes back: the text is gone, changes and a delete are told as before.
func TestLostData(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, dir)
	var err error
	var writer *zk.Conn
	var closeWriter func()
	connect := func() {
		t.Helper()
		if writer, _, err = zk.Connect([]string{s.Address()}, 10*time.Second, zk.WithLogInfo(false), zk.WithLogger(quiet{})); err != nil {
			t.Fatal(err)
		}
		closeIt := sync.OnceFunc(writer.Close)
		t.Cleanup(closeIt)
		closeWriter = closeIt
	}
	connect()
	set := func(text string) {
		t.Helper()
		node := "/"
		for _, part := range []string{"dubbo", "config", "dubbo", "k"} {
			node = path.Join(node, part)
			if _, err := writer.Create(node, nil, 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
				t.Fatal(err)
			}
		}
		if _, err := writer.Set(node, []byte(text), -1); err != nil {
			t.Fatal(err)
		}
	}

	// 1
	u := at(s.Address())
	u.SetParam("base64", "true")
	r, err := newRules(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.giveUp = time.Second
	if err := r.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	set("YQ==")
	told := make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); r.Follow(ctx, "dubbo", "k", func(text string) { told <- text }) }()
	t.Cleanup(func() { cancel(); <-ended })
	expect(t, told, "a")

	// 2
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}

	// 3
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "")
	closeWriter() // it is turned away for ever
	connect()
	began := time.Now()
	set("Yg==")
	expect(t, told, "b")
	t.Logf("a change of the new session was told after %v", time.Since(began).Round(time.Millisecond))
	if err := writer.Delete("/dubbo/config/dubbo/k", -1); err != nil {
		t.Fatal(err)
	}
	expect(t, told, "")
	set("not base64!")
	expect(t, told, "not base64!") // the decoder of rules says what is wrong with it
}

// expect waits for a text; one that was told before may come again.
func expect(t *testing.T, told <-chan string, want string) {
	t.Helper()
	var seen []string
	for late := time.After(time.Minute); !slices.Contains(seen, want); {
		select {
		case text := <-told:
			seen = append(seen, text)
		case <-late:
			t.Fatalf("told %q, want %q", seen, want)
		}
	}
}
