// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"

	"github.com/graylane/graylane/internal/connect"
)

// relay hands connections on to an address, and can close one of them.
type relay struct {
	net.Listener
	mu   sync.Mutex
	open []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	r := &relay{Listener: must(net.Listen("tcp", "127.0.0.1:0"))(t)}
	t.Cleanup(func() {
		_ = r.Close()
		for r.cut() {
		}
	})
	go func() {
		for {
			in, err := r.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			r.mu.Lock()
			r.open = append(r.open, in, out)
			r.mu.Unlock()
			go func() { _, _ = io.Copy(in, out); _ = in.Close() }()
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
		}
	}()
	return r
}

// cut closes the oldest connection, and reports whether there was one.
func (r *relay) cut() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) == 0 {
		return false
	}
	for _, c := range r.open[:2] {
		_ = c.Close()
	}
	r.open = r.open[2:]
	return true
}

func (r *relay) connections() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.open) / 2
}

// Steps of this test, with a real provider and dubbo-go's client, which has three of its
// sixteen connections when one of them is closed:
//  1. for a while the client goes on drawing the closed one;
//  2. each call reaches the provider all the same, once, and none counts as failed.
func TestClosedConnectionIsDrawnAgain(t *testing.T) {
	k := kind{constant.DubboProtocol, "plain"}
	p := serve(t, k, func(_ context.Context, in string) (string, error) { return in, nil })
	r := newRelay(t, p.addr)
	u := must(common.NewURL("dubbo://"+r.Addr().String()+"/"+p.name, common.WithInterface(p.name), common.WithParamsValue(constant.InterfaceKey, p.name),
		common.WithParamsValue(constant.SerializationKey, constant.Hessian2Serialization)))(t)
	ex := remoting.NewExchangeClient(u, getty.NewClient(getty.Options{ConnectTimeout: time.Second, RequestTimeout: time.Second}), time.Second, false)
	if ex == nil {
		t.Fatal("no client")
	}
	inv := dubbo.NewDubboInvoker(u, ex)
	e := lane(t, inv, incarnation(2100))
	ref := newReference(t, k, p.name, "5s", e)
	for deadline := time.Now().Add(20 * time.Second); r.connections() < 3; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client has no third connection")
		}
	}
	if !r.cut() {
		t.Fatal("nothing to cut")
	}

	// 1.
	raw := func() error {
		var out string
		return inv.Invoke(t.Context(), invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Call"), invocation.WithArguments([]any{"raw"}),
			invocation.WithReply(&out), invocation.WithAttachments(map[string]any{}))).Error()
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		if err := raw(); err != nil && err.Error() == connect.Stale {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the client drew no closed connection")
		}
	}

	// 2.
	const calls = 100
	before := p.calls.Load()
	for range calls {
		if out, err := ref.call(t.Context(), "x"); err != nil || out != "x" {
			t.Fatalf("%q, %v", out, err)
		}
	}
	if got := p.calls.Load() - before; got != calls {
		t.Errorf("%d executed, want %d", got, calls)
	}
	if b := books(e); b.Failed != 0 || b.Answered != calls || e.Outlier() {
		t.Errorf("books %+v, outlier %t; want %d answered and none failed", b, e.Outlier(), calls)
	}
	stale := 0
	for range calls {
		if err := raw(); err != nil && err.Error() == connect.Stale {
			stale++
		}
	}
	if stale == 0 {
		t.Error("no closed connection was there to be drawn")
	}
}
