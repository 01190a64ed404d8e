// SPDX-License-Identifier: Apache-2.0

package line

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"github.com/dubbogo/gost/log/logger"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	logger.SetLoggerLevel("error")
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // dubbo-go starts some when it is linked
}

// remote is the part of dubbo-go's client that connects. What happens in dubbo-go's own
// is tested in test/wire.
type remote struct {
	request func() error
	hangs   chan struct{} // what it is asked waits for this, nil: for nothing
	closes  bool          // so does its Close
	closed  atomic.Int32
}

func (*remote) SetExchangeClient(*remoting.ExchangeClient) {}
func (*remote) Connect(*common.URL) error                  { return nil }
func (r *remote) Close() {
	if r.closes {
		<-r.hangs
	}
	r.closed.Add(1)
}

func (r *remote) IsAvailable() bool {
	if r.hangs != nil {
		<-r.hangs
	}
	return true
}

func (r *remote) Request(*remoting.Request, time.Duration, *remoting.PendingResponse) error {
	return r.request()
}

var errRemote = errors.New("what it says")

// newLink makes a service at an address over a client of the test.
func newLink(t *testing.T, address string, r *remote) *link {
	t.Helper()
	u, err := common.NewURL(constant.DubboProtocol + "://" + address + "/s")
	if err != nil {
		t.Fatal(err)
	}
	l := acquire(address)
	if l.now.Load() == nil {
		l.now.Store(newClient(remoting.NewExchangeClient(u, r, time.Second, false)))
	}
	k := &link{line: l, url: u}
	k.leg.Store(newLeg(u, l.now.Load()))
	return k
}

func call(k base.Invoker) error {
	return k.Invoke(context.Background(), invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("m"), invocation.WithReply(new(string)))).Error()
}

// A panic from elsewhere than the choice of a connection goes on: nobody knows what was
// written by then. The client stays.
func TestOtherPanicsGoOn(t *testing.T) {
	k := newLink(t, "127.0.0.1:1", &remote{request: func() error { panic("while it writes") }})
	defer k.Destroy()
	func() {
		defer func() {
			if r := recover(); r != "while it writes" {
				t.Errorf("recovered %v", r)
			}
		}()
		t.Errorf("returned %v", call(k))
	}()
	if !k.line.now.Load().usable() {
		t.Error("the client was given up")
	}
}

// Services of an address share a client, which is closed when the last is destroyed.
func TestLastOneCloses(t *testing.T) {
	r := &remote{request: func() error { return errRemote }}
	a, b := newLink(t, "127.0.0.1:2", r), newLink(t, "127.0.0.1:2", nil)
	if a.line != b.line {
		t.Fatal("two lines")
	}
	for _, k := range []*link{a, b} {
		if err := call(k); !errors.Is(err, errRemote) {
			t.Errorf("got %v", err)
		}
	}
	a.Destroy()
	a.Destroy() // does nothing
	if err := call(a); !errors.Is(err, base.ErrDestroyedInvoker) {
		t.Errorf("destroyed, and says %v", err)
	}
	if err := call(b); !errors.Is(err, errRemote) || r.closed.Load() != 0 {
		t.Errorf("the other one is destroyed, %d closed: %v", r.closed.Load(), err)
	}
	ended := b.line.now.Load()
	b.Destroy()
	<-ended.end()
	if n := r.closed.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
	if linesTo("127.0.0.1:2") != nil {
		t.Error("the line is kept")
	}
}

// A client that is stuck is not closed, and whoever asks hears of it.
func TestStuckIsLeft(t *testing.T) {
	r := &remote{}
	k := newLink(t, "127.0.0.1:3", r)
	stuck := linesTo("127.0.0.1:3")
	hears := stuck()
	l, c := k.line, k.leg.Load().client
	c.giveUp("127.0.0.1:3", "the test")
	c.giveUp("127.0.0.1:3", "the test")
	<-hears
	if stuck() != nil {
		t.Error("a client that is stuck is the one to be asked")
	}
	k.Destroy()
	if <-l.end(); r.closed.Load() != 0 {
		t.Error("a client that is stuck was asked to close")
	}
	if err := call(k); !errors.Is(err, base.ErrDestroyedInvoker) {
		t.Errorf("destroyed, and says %v", err)
	}
}

// A line that ends while a client is being made closes it.
func TestEndedMeanwhile(t *testing.T) {
	r := &remote{}
	k := newLink(t, "127.0.0.1:4", &remote{})
	l := k.line
	k.Destroy()
	c := newClient(remoting.NewExchangeClient(k.url, r, time.Second, false))
	l.take(c)
	<-c.ended
	if n := r.closed.Load(); n != 1 {
		t.Errorf("closed %d times", n)
	}
}

// At the end of the process one client that hangs holds up nothing for long.
func TestEndOfTheProcess(t *testing.T) {
	hangs := &remote{hangs: make(chan struct{}), closes: true}
	good := &remote{}
	a, b := newLink(t, "127.0.0.1:5", hangs), newLink(t, "127.0.0.1:6", good)
	endLines(50 * time.Millisecond)
	<-b.line.now.Load().ended
	close(hangs.hangs)
	a.Destroy()
	b.Destroy()
	<-a.line.now.Load().ended
	if n, m := hangs.closed.Load(), good.closed.Load(); n != 1 || m != 1 {
		t.Errorf("closed %d and %d times", n, m)
	}
}
