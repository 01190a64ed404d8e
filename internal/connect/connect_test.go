// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slow is a client of dubbo-go's that connects when it is let.
type slow struct {
	*base.BaseInvoker
	let   chan struct{}
	up    bool
	asked atomic.Int32
}

func (s *slow) IsAvailable() bool {
	s.asked.Add(1)
	<-s.let
	if !s.up {
		panic("index out of range") // what it does while it loses a connection
	}
	return true
}

func newSlow(t *testing.T, up bool) (*slow, *Invoker, net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	u, err := common.NewURL(constant.DubboProtocol + "://" + l.Addr().String() + "/s")
	if err != nil {
		t.Fatal(err)
	}
	s := &slow{BaseInvoker: base.NewBaseInvoker(u), let: make(chan struct{}), up: up}
	return s, New(s).(*Invoker), l
}

// Many calls wait for one connection: the client is asked once, and answers all.
func TestOneAsksForAll(t *testing.T) {
	s, i, _ := newSlow(t, true)
	const calls = 100
	first := i.client.Join(i.ask, nil)
	errs := make(chan error, calls)
	var begun sync.WaitGroup
	for range calls {
		begun.Add(1)
		go func() {
			begun.Done()
			errs <- i.Ready(time.Minute)
		}()
	}
	begun.Wait()
	if again := i.client.Join(i.ask, nil); again != first {
		t.Error("a second question while the first is open")
	}
	close(s.let)
	for range calls {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	<-first.Done
}

// A call waits for as long as it may, then says why; the client goes on.
func TestWaitIsBounded(t *testing.T) {
	s, i, l := newSlow(t, false)
	if err := i.Ready(20 * time.Millisecond); !errors.Is(err, ErrUnreachable) { // the port takes connections, the client has none
		t.Errorf("got %v", err)
	}
	_ = l.Close()
	if err := i.Ready(time.Minute); !errors.Is(err, syscall.ECONNREFUSED) || !errors.Is(err, ErrUnreachable) {
		t.Errorf("nobody listens: %v", err)
	}
	asked := i.client.Join(i.ask, nil)
	close(s.let)
	<-asked.Done
	if !errors.Is(asked.Err, ErrUnreachable) {
		t.Errorf("a client that panics: %v", asked.Err)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times, want once: it was still at it", n)
	}
}

// A client that will never answer is waited for no longer, and the next question is
// asked anew.
func TestVainQuestion(t *testing.T) {
	s, i, _ := newSlow(t, true)
	stuck := make(chan struct{})
	i.stuck = func() <-chan struct{} { return stuck }
	first := i.client.Join(i.ask, i.vain())
	waits := make(chan error, 1)
	go func() { waits <- i.Ready(time.Minute) }()
	close(stuck)
	if err := <-waits; !errors.Is(err, ErrUnreachable) {
		t.Errorf("got %v", err)
	}
	i.stuck = func() <-chan struct{} { return nil } // there is another client
	next := i.client.Join(i.ask, i.vain())
	if next == first {
		t.Error("the next one waits as well")
	}
	close(s.let)
	<-first.Done // it does not take the other's place
	if err := i.Ready(time.Minute); err != nil {
		t.Error(err)
	}
	<-next.Done
}
