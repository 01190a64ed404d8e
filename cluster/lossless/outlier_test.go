// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// TestStrikesOut: five timeouts in a row put an endpoint out, never more than
// max-ejection-percent of a level and never its last usable one.
func TestStrikesOut(t *testing.T) {
	for _, tc := range []struct {
		name    string
		nodes   int
		percent float64
		closing int
		want    int // outliers
	}{
		{"half of ten", 10, 50, 0, 5},
		{"a third of ten is three", 10, 33, 0, 3},
		{"none allowed", 10, 0, 0, 0},
		{"all but one", 4, 100, 0, 3},
		{"of three one is a third", 3, 50, 0, 1},
		{"the only one", 1, 100, 0, 0},
		{"closing ones are not of the level", 6, 50, 2, 2},
	} {
		settings(t, func(c *conf.Config) {
			c.Outlier = conf.Outlier{BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour, MaxEjectionPercent: tc.percent}
		})
		r := newRig(t, constant.TriProtocol, make([]string, tc.nodes)...)
		for n, node := range r.nodes {
			node.answer = timesOut
			if n < tc.closing {
				node.e.MarkClosing()
			}
		}
		r.view.refresh()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 100 {
					_ = r.call(nil)
				}
			})
		}
		wg.Wait()
		out := 0
		for _, node := range r.nodes {
			if node.e.Outlier() {
				out++
			}
		}
		if out != tc.want {
			t.Errorf("%s: %d outliers of %d, want %d", tc.name, out, tc.nodes, tc.want)
		}
	}
}

// TestNoConnection puts an endpoint out at once, whatever max-ejection-percent says
// and though it is the last one; a call that has nothing else still goes there.
func TestNoConnection(t *testing.T) {
	settings(t, func(c *conf.Config) {
		c.Outlier = conf.Outlier{BaseEjectionTime: time.Hour, MaxEjectionTime: time.Hour}
	})
	for _, protocol := range protocols {
		r := newRig(t, protocol, "", "gray")
		last := r.nodes[0]
		last.answer = fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		if err := r.call(nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want what the last one said", protocol, err)
		}
		if !last.e.Outlier() {
			t.Errorf("%s: no outlier after one dial in vain", protocol)
		}
		last.answer = ok
		if err := r.call(nil); err != nil {
			t.Errorf("%s: %v, though the endpoint serves again", protocol, err)
		}
		if n := r.nodes[1].calls.Load(); n != 0 {
			t.Errorf("%s: %d calls went to another lane", protocol, n)
		}
		if b := last.books(t); b.Sent != 1 || b.Answered != 1 || b.Failed != 1 || b.Rerouted != 0 {
			t.Errorf("%s: books %+v, want 1 sent and answered, 1 failed", protocol, b)
		}
	}
}

// TestFourStrikes: an answer in between ends the row.
func TestFourStrikes(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "")
	n := r.nodes[0]
	r.nodes[1].answer = ok
	for range 3 {
		n.answer = timesOut
		for at := n.calls.Load(); n.calls.Load() < at+4; {
			_ = r.call(nil)
		}
		n.answer = ok
		for at := n.calls.Load(); n.calls.Load() < at+1; {
			_ = r.call(nil)
		}
	}
	if n.e.Outlier() {
		t.Error("four in a row made an outlier")
	}
}

func TestEjectionTime(t *testing.T) {
	settings(t, func(c *conf.Config) {
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = time.Second, 30*time.Second
	})
	for n, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		want := time.Duration(seconds) * time.Second
		if got := ejectionTime(n); got != want {
			t.Errorf("ejection %d: %v, want %v", n, got, want)
		}
	}
	if got := ejectionTime(1 << 30); got != 30*time.Second {
		t.Errorf("after very many: %v", got)
	}
}

// TestRealClosedPort: a real Triple invoker on a port where nobody listens. The
// call is rerouted, with retries 0; the instance is an outlier until something
// listens there again, and a probe that sees it lets it in.
func TestRealClosedPort(t *testing.T) {
	settings(t, func(c *conf.Config) {
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = 10*time.Millisecond, 20*time.Millisecond
	})
	address := ports.Dead()
	host, port, _ := net.SplitHostPort(address)

	r := newRig(t, constant.TriProtocol, "", "gray")
	dead := newNode(t, "", address)
	u := common.NewURLWithOptions(common.WithProtocol(constant.TriProtocol), common.WithIp(host), common.WithPort(port),
		common.WithPath(service), common.WithInterface(service), common.WithMethods([]string{"Place"}),
		common.WithParamsValue(constant.SerializationKey, constant.ProtobufSerialization), common.WithParamsValue(constant.TimeoutKey, "3s"))
	u.SetAttribute(constant.ClientInfoKey, "generated code")
	invoker, err := triple.NewTripleInvoker(u)
	if err != nil {
		t.Fatal(err)
	}
	defer invoker.Destroy()
	dead.e = &endpoint.Endpoint{Instance: dead.e.Instance, Invoker: invoker, Weight: 100, Caller: dead.e.Caller}
	r.set(dead, r.nodes[0], r.nodes[1])

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for dead.books(t).Failed == 0 {
		inv := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Place"),
			invocation.WithParameterRawValues([]any{&emptypb.Empty{}, &emptypb.Empty{}}), invocation.WithAttachments(map[string]any{tag.KeyForce: "false"}))
		inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
		if err := r.Invoke(ctx, inv).Error(); err != nil {
			t.Fatalf("not rerouted: %v", err)
		}
	}
	if b := dead.books(t); b.Sent != 0 || b.Failed != 1 || b.Rerouted != 1 {
		t.Errorf("books %+v, want nothing sent, one failed and rerouted", b)
	}
	if r.nodes[1].calls.Load() != 0 {
		t.Error("rerouted to another lane")
	}
	if !dead.e.Outlier() {
		t.Fatal("no outlier")
	}
	back := make(chan struct{})
	var once sync.Once
	stop := endpoint.Shared.Watch(func() {
		if !dead.e.Outlier() {
			once.Do(func() { close(back) })
		}
	})
	defer stop()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("the port that was free is taken by another process: %v", err)
	}
	defer func() { _ = l.Close() }()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if !dead.e.Outlier() {
		t.Error("a port that takes connections was enough")
	}
	var answering sync.WaitGroup
	defer answering.Wait()
	defer func() { _ = l.Close() }()
	answering.Go(func() { // this probe, or a later one if it has given up
		for {
			_, _ = conn.Write([]byte{0}) // a sign of life
			if next, err := l.Accept(); err == nil {
				defer func() { _ = next.Close() }()
				conn = next
				continue
			}
			return
		}
	})
	select {
	case <-back:
	case <-ctx.Done():
		t.Fatal("no probe let the instance in again")
	}
}

// TestProbesEnd: probes of an instance that nobody references any more end, and
// it is forgotten.
func TestProbesEnd(t *testing.T) {
	settings(t, func(c *conf.Config) {
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = 10*time.Millisecond, 10*time.Millisecond
	})
	i := endpoint.Shared.Acquire(ports.Dead(), "00000000000000ff", "order", endpoint.Birth{})
	eject(i, constant.TriProtocol, "test")
	known := func() bool {
		ejections.Lock()
		defer ejections.Unlock()
		_, ok := ejections.m[i]
		return ok
	}
	if !known() {
		t.Fatal("an ejection is not counted")
	}
	endpoint.Shared.Release(i)
	for deadline := time.Now().Add(10 * time.Second); known(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("probes go on for an instance that left")
		}
	}
}

// TestProbesOfOneThatLeaves go on where nothing tells its next process from it.
func TestProbesOfOneThatLeaves(t *testing.T) {
	settings(t, func(c *conf.Config) {
		c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = 10*time.Millisecond, 10*time.Millisecond
	})
	address := ports.Dead()
	for incarnation, back := range map[string]bool{"": true, "00000000000000fe": false} {
		i := endpoint.Shared.Acquire(address, incarnation, "order", endpoint.Birth{})
		i.MarkClosing()
		eject(i, constant.TriProtocol, "test")
		probe(i, constant.TriProtocol)
		ejections.Lock()
		_, known := ejections.m[i]
		ejections.Unlock()
		if known != back {
			t.Errorf("incarnation %q: probed again: %t, want %t", incarnation, known, back)
		}
		endpoint.Shared.Release(i)
	}
}

// timesOut makes an error of its own for each call, as real ones are.
func timesOut(context.Context, base.Invocation) result.Result {
	return &result.RPCResult{Err: timeout()}
}
