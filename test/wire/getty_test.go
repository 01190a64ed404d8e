// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// gettyRig is one address over the dubbo protocol, called by dubbo-go's own client
// without anything of ours before it.
type gettyRig struct {
	*reference
	e      *endpoint.Endpoint
	client *getty.Client
	inv    *dubbo.DubboInvoker
}

func newGettyRig(t *testing.T, addr string, lazy bool, n int) *gettyRig {
	t.Helper()
	must(instance())(t) // the settings are read with the first service or reference
	const service = "graylane.getty"
	k := kind{"dubbo", "plain"}
	u := must(common.NewURL("dubbo://"+addr+"/"+service, common.WithInterface(service), common.WithParamsValue(constant.InterfaceKey, service),
		common.WithParamsValue(constant.SerializationKey, constant.Hessian2Serialization)))(t)
	connect := time.Second // on a busy machine, too
	if lazy {              // nobody is there
		connect = 50 * time.Millisecond
	}
	g := &gettyRig{client: getty.NewClient(getty.Options{ConnectTimeout: connect, RequestTimeout: time.Second})}
	ex := remoting.NewExchangeClient(u, g.client, time.Second, lazy)
	if ex == nil {
		t.Fatalf("no client for %s", addr)
	}
	g.inv = dubbo.NewDubboInvoker(u, ex)
	g.e = lane(t, g.inv, incarnation(2000+n))
	g.reference = newReference(t, k, service, "1s", g.e)
	return g
}

// try sends one call and returns the text of its error, having checked that the books
// say of it what they must: never executed, if the text is one of those that prove it.
func (g *gettyRig) try(t *testing.T) (text string) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil { // dubbo-go's client, while it loses its connection
			text = panicked
		}
	}()
	before := books(g.e)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := g.call(ctx, "x")
	if err == nil {
		t.Fatal("somebody answered")
	}
	after, want := books(g.e), before
	if proof(err) {
		want.Failed++
	} else {
		want.Sent++
		want.Unknown++
	}
	if after != want {
		t.Errorf("%v: books %+v, want %+v", err, after, want)
	}
	return clientSaid(err)
}

// clientSaid is the client's own text: there is no other endpoint, and the error says so
// first.
func clientSaid(err error) string {
	text := err.Error()
	if _, last, ok := strings.Cut(text, "the last that was tried: "); ok {
		return last
	}
	return text
}

// proof lists the errors once more, apart from the code.
func proof(err error) bool {
	text := clientSaid(err)
	return slices.Contains([]string{"session not exist", "session Already Closed", "client have been closed"}, text) ||
		strings.HasPrefix(text, noConnection) || strings.HasPrefix(text, "Failed to connect server ") ||
		errors.Is(err, base.ErrClientClosed) || errors.Is(err, base.ErrDestroyedInvoker)
}

// TestGettyTexts produces each error of dubbo-go's getty client that proves that
// nothing was written.
func TestGettyTexts(t *testing.T) {
	need.Long(t, "waits for connections")
	kind{"dubbo", "plain"}.unlessRacing(t)
	silent := func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }

	t.Run("never connected", func(t *testing.T) {
		g := newGettyRig(t, ports.Dead(), true, 1)
		if text := g.try(t); !strings.HasPrefix(text, "Failed to connect server ") {
			t.Errorf("got %q", text)
		}
	})
	t.Run("connection lost", func(t *testing.T) {
		defer impatient()()
		lose := func() *gettyRig {
			l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
			g := newGettyRig(t, l.Addr().String(), false, 2)
			c := must(l.Accept())(t)
			t.Cleanup(func() { _ = c.Close() })
			_ = l.Close() // the connection stays, but nothing comes over it: the client gives it up
			return g
		}
		lose().until(t, lose, noConnection)
	})
	t.Run("client closed", func(t *testing.T) {
		addr, _ := listen(t, silent)
		g := newGettyRig(t, addr, false, 3)
		g.client.Close()
		if text := g.try(t); text != "client have been closed" {
			t.Errorf("got %q", text)
		}
	})
	t.Run("destroyed", func(t *testing.T) {
		addr, _ := listen(t, silent)
		g := newGettyRig(t, addr, false, 4)
		g.inv.Destroy()
		if text := g.try(t); text != base.ErrDestroyedInvoker.Error() {
			t.Errorf("got %q", text)
		}
		if g.e.Outlier() {
			t.Error("an invoker of ours that is destroyed says nothing about the peer")
		}
	})
	t.Run("no client", func(t *testing.T) {
		g := newGettyRig(t, ports.Dead(), true, 5)
		bare := lane(t, dubbo.NewDubboInvoker(g.inv.GetURL(), nil), incarnation(2006))
		g.e, g.list = bare, []*endpoint.Endpoint{bare}
		g.reference = newReference(t, g.kind, "graylane.getty", "1s", bare)
		if text := g.try(t); text != base.ErrClientClosed.Error() {
			t.Errorf("got %q", text)
		}
	})
	t.Run("connection lost this moment", func(t *testing.T) {
		// Between taking its last connection off the list and forgetting the list, the
		// client writes a line, with the list locked: a call that comes then finds it empty.
		l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
		defer func() { _ = l.Close() }()
		addr := l.Addr().String() // takes connections, and nothing comes over them
		removed, release := make(chan struct{}), make(chan struct{})
		var once sync.Once
		hear := func(format string, args []any) {
			if strings.HasPrefix(format, "[Remoting][Getty] after remove session") && strings.Contains(fmt.Sprint(args[0]), addr) {
				once.Do(func() {
					close(removed)
					<-release
				})
			}
		}
		said.hear.Store(&hear)
		defer said.hear.Store(nil)
		defer impatient()()
		g := newGettyRig(t, addr, false, 8)
		select {
		case <-removed:
		case <-time.After(20 * time.Second):
			t.Fatal("the client keeps its connection")
		}
		go func() {
			defer close(release)
			awaitCaller(t, "getty.(*Client).Request", "getty.(*gettyRPCClient).selectSession", "sync.(*RWMutex).RLock")
		}()
		if text := g.try(t); text != "session not exist" {
			t.Errorf("got %q", text)
		}
	})
	t.Run("connection closed by the peer", func(t *testing.T) {
		lose := func() *gettyRig {
			addr, stop := listen(t, silent)
			g := newGettyRig(t, addr, false, 7)
			stop()
			return g
		}
		lose().until(t, lose, "session Already Closed")
	})
}

// until calls until the client says what is wanted. Where it says its last word, another
// one goes on: after a panic it hangs.
func (g *gettyRig) until(t *testing.T, another func() *gettyRig, wanted string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		text := g.try(t)
		if strings.HasPrefix(text, wanted) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not seen; the last was %q", text)
		}
		if text == panicked || strings.HasPrefix(text, noConnection) {
			g = another()
		}
	}
}

const (
	panicked     = "panic"
	noConnection = "failed to create client connection to "
)

// awaitCaller waits until a goroutine is inside all these functions.
func awaitCaller(t *testing.T, functions ...string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		stacks := make([]byte, 4<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		for s := range strings.SplitSeq(string(stacks), "\n\n") {
			if !slices.ContainsFunc(functions, func(f string) bool { return !strings.Contains(s, f) }) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Errorf("nobody is in %q", functions)
			return
		}
	}
}

// connections has clients that are made until it is undone make so many connections.
func connections(n int) (undo func()) {
	c := *getty.GetDefaultClientConfig()
	c.ConnectionNum = n
	getty.SetClientConf(c)
	return func() { getty.SetClientConf(*getty.GetDefaultClientConfig()) }
}

// impatient has clients that are made until it is undone make one connection, and
// give one up on which nothing came for 200 ms.
func impatient() (undo func()) {
	c := *getty.GetDefaultClientConfig()
	c.ConnectionNum = 1
	c.HeartbeatPeriod, c.HeartbeatTimeout, c.SessionTimeout = "100ms", "100ms", "200ms"
	getty.SetClientConf(c)
	return func() { getty.SetClientConf(*getty.GetDefaultClientConfig()) }
}
