// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
)

// moment holds dubbo-go's client at a line that it writes: that it has taken a
// connection off its list, which it has locked meanwhile.
type moment struct {
	nth           int32 // of those lines of the connection, the one to hold at
	lines         atomic.Int32
	reached, goOn chan struct{}
}

func newMoment(nth int32) *moment {
	return &moment{nth: nth, reached: make(chan struct{}), goOn: make(chan struct{})}
}

func (m *moment) hear() {
	if m.lines.Add(1) == m.nth {
		close(m.reached)
		<-m.goOn
	}
}

func (m *moment) await(t *testing.T, what string) {
	t.Helper()
	select {
	case <-m.reached:
	case <-time.After(20 * time.Second):
		t.Fatalf("not seen: %s", what)
	}
}

// TestLostThatMoment: dubbo-go's client panics in a call that chooses a connection while
// the last one is lost, and keeps a lock: whoever asks it afterwards hangs. The call goes
// elsewhere, as it was not written; all services of the address go on over another
// client, and nothing waits for the first.
//
// dubbo-go takes a connection off its list twice, and forgets its client each time: when
// it has been silent for too long, and when it is closed, by when there is a new client.
func TestLostThatMoment(t *testing.T) {
	k := kind{"dubbo", "plain"}
	healthy := serve(t, k, echo)
	// The first two connections are silent, and known by what came over them: parts of a
	// header. Behind those that follow there is a provider.
	const first, second = 13, 11
	var connections atomic.Int32
	addr, _ := listen(t, func(c net.Conn) {
		switch connections.Add(1) {
		case 1:
			_, _ = c.Write([]byte("\xda\xbb" + strings.Repeat("\x00", first-2)))
		case 2:
			_, _ = c.Write([]byte("\xda\xbb" + strings.Repeat("\x00", second-2)))
		default:
			pass(c, healthy.addr)
			return
		}
		_, _ = io.Copy(io.Discard, c)
	})
	closed, lost := newMoment(2), newMoment(1)
	hear := func(format string, args []any) {
		if !strings.HasPrefix(format, "[Remoting][Getty] after remove session") {
			return
		}
		switch text := fmt.Sprint(args[0]); {
		case strings.Contains(text, fmt.Sprintf("Read Bytes: %d,", first)):
			closed.hear()
		case strings.Contains(text, fmt.Sprintf("Read Bytes: %d,", second)):
			lost.hear()
		}
	}
	said.hear.Store(&hear)
	defer said.hear.Store(nil)
	undo := impatient()

	i, sibling := k.refer(t, healthy.name, addr, "5s"), k.refer(t, healthy.name, addr, "5s")
	bad := lane(t, i, incarnation(14000))
	good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "5s")), incarnation(14001))
	bad.Weight, good.Weight = favour, 1
	closed.await(t, "the first connection is closed")
	i.IsAvailable() // connects again
	undo()
	lost.await(t, "the second connection is lost")
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		sibling.IsAvailable()
	}()
	awaitCaller(t, "getty.(*Client).IsAvailable", "getty.(*gettyRPCClient).selectSession", "sync.(*RWMutex).RLock")
	close(closed.goOn) // the client is forgotten as soon as that one has looked
	awaitCaller(t, "getty.(*Client).resetRpcConn", "sync.(*RWMutex).Lock")
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				answer <- fmt.Errorf("the call panics: %v", r)
			}
		}()
		_, err := newReference(t, k, healthy.name, "5s", bad, good).call(t.Context(), "x")
		answer <- err
	}()
	awaitCaller(t, "getty.(*Client).Request", "getty.(*Client).selectSession", "sync.(*RWMutex).RLock")
	close(lost.goOn)
	within(t, "the call", func() {
		if err := <-answer; err != nil {
			t.Error(err)
		}
	})
	within(t, "the question", func() { <-asked })
	if got := books(bad); got != (endpoint.Entry{Failed: 1, Rerouted: 1}) {
		t.Errorf("books %+v, want one that was not executed and went elsewhere", got)
	}

	for n, other := range []*endpoint.Endpoint{lane(t, connect.New(i), incarnation(14002)), lane(t, connect.New(sibling), incarnation(14003))} {
		r := newReference(t, k, healthy.name, "5s", other)
		within(t, "a later call", func() {
			if out, err := r.call(t.Context(), "y"); err != nil || out != "y" {
				t.Errorf("a later call of service %d: %q, %v", n, out, err)
			}
		})
	}
	within(t, "Destroy", func() {
		i.Destroy()
		sibling.Destroy()
	})
}

// TestClosedForGood: dubbo-go's client closes itself when a request was written in part,
// and stays in use. The next call has another client.
func TestClosedForGood(t *testing.T) {
	k := kind{"dubbo", "plain"}
	healthy := serve(t, k, echo)
	full := make(chan struct{})
	var seen atomic.Int32
	addr, _ := listen(t, func(c net.Conn) {
		if seen.Add(1) == 1 { // nothing is read while the request is written
			_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
			<-full
			return
		}
		pass(c, healthy.addr)
	})
	defer connections(1)()
	i := connect.New(k.refer(t, healthy.name, addr, "5s"))
	defer i.Destroy()
	e := lane(t, i, incarnation(14010))
	r := newReference(t, k, healthy.name, "5s", e)
	const many = 16 // more than the buffers of both sides hold
	part := strings.Repeat("x", 900<<10)
	var writes sync.WaitGroup
	for range many {
		writes.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if _, err := r.call(ctx, part); err == nil {
				t.Error("somebody answered")
			}
		})
	}
	writes.Wait()
	close(full)
	if got := books(e); got.Answered != 0 || got.Unknown == 0 {
		t.Errorf("books %+v, want none that is answered", got)
	}
	within(t, "a later call", func() {
		for out := ""; out != "y"; { // until it is closed, which is done behind the call's back
			e.SetOutlier(false)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			out, _ = r.call(ctx, "y")
			cancel()
			if t.Context().Err() != nil { // nobody waits any more
				return
			}
		}
	})
}

// within fails where f takes longer than any timeout of these tests.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		t.Fatalf("%s hangs", what)
	}
}
