// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
)

// front accepts and says nothing, until it is opened: then it passes new connections
// on to a server. Those from before stay silent.
type front struct {
	net.Listener
	accepted chan struct{} // one for each connection

	mu     sync.Mutex
	server string // "" while it is silent
	ends   int    // so many of the next connections are ended at once
	conns  []net.Conn
	work   sync.WaitGroup
}

func newFront(t *testing.T) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{Listener: l, accepted: make(chan struct{}, 1000)}
	f.work.Go(f.serve)
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.work.Wait()
	})
	return f
}

func (f *front) open(server string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.server = server
}

func (f *front) serve() {
	for {
		in, err := f.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, in)
		if f.ends > 0 {
			f.ends--
			_ = in.Close()
		} else if f.server != "" {
			if out, err := net.Dial("tcp", f.server); err == nil {
				f.conns = append(f.conns, out)
				f.work.Go(func() { pass(in, out) })
				f.work.Go(func() { pass(out, in) })
			}
		}
		f.mu.Unlock()
		f.accepted <- struct{}{}
	}
}

// pass copies until either side ends, and ends both.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_, _ = to.Close(), from.Close()
}

// TestSilentServer: a server that accepts and says nothing is given up and dialled
// again by a new client, for whoever asks.
func TestSilentServer(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, r *rules){
		"Follow": func(ctx context.Context, r *rules) { r.Follow(ctx, "dubbo", "k", func(string) {}) },
		"Check": func(ctx context.Context, r *rules) {
			for ctx.Err() == nil {
				try, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
				if err := r.Check(try); err == nil {
					panic("nobody answered")
				}
				cancel()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFront(t)
			r, err := newRules(at(f.Addr().String()))
			if err != nil {
				t.Fatal(err)
			}
			r.giveUp = 50 * time.Millisecond
			links := make(map[*link]bool)
			ctx, cancel := context.WithCancel(t.Context())
			var asking sync.WaitGroup
			asking.Go(func() { ask(ctx, r) })
			for late := time.Now().Add(time.Minute); len(links) < 3 && time.Now().Before(late); time.Sleep(time.Millisecond) {
				r.mu.Lock()
				if r.link != nil {
					links[r.link] = true
				}
				r.mu.Unlock()
			}
			if len(links) < 3 {
				t.Errorf("%d clients within a minute, want one after the other (a client by itself waits for 67 s)", len(links))
			}
			cancel()
			asking.Wait()
			r.Close()
		})
	}
}

// TestServerComesSilently: a server that is starting takes connections and does not
// answer them; when it answers new ones, the text is told.
func TestServerComesSilently(t *testing.T) {
	s := serve(t, t.TempDir())
	writer, _, err := zk.Connect([]string{s.Address()}, session, zk.WithLogInfo(false), zk.WithLogger(quiet{}))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	const node = "/dubbo/config/dubbo/k"
	for _, node := range []string{"/dubbo", "/dubbo/config", "/dubbo/config/dubbo", node} {
		if _, err := writer.Create(node, []byte("text"), 0, zk.WorldACL(zk.PermAll)); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			t.Fatal(err)
		}
	}

	f := newFront(t)
	r, err := newRules(at(f.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	r.giveUp = 2 * time.Second
	told := make(chan string, 10)
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { r.Follow(ctx, "dubbo", "k", func(text string) { told <- text }) })
	t.Cleanup(func() { cancel(); following.Wait() })
	<-f.accepted // the client waits for this one
	f.open(s.Address())
	began := time.Now()
	expect(t, told, "text")
	t.Logf("told %v after the server had begun to answer", time.Since(began).Round(time.Millisecond))
	if err := r.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestCheckWhileTheClientIsBack: a client whose connection or session has just ended says
// that there is no server, although it is there. Check asks on.
func TestCheckWhileTheClientIsBack(t *testing.T) {
	s := serve(t, t.TempDir())
	f := newFront(t)
	f.ends = 4 // that of Check itself and three of the client's
	f.open(s.Address())
	r, err := newRules(at(f.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := r.Check(ctx); err != nil {
		t.Error(err)
	}
}
