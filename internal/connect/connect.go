// SPDX-License-Identifier: Apache-2.0

// Package connect bounds the time that a call waits for a connection.
//
// dubbo-go's clients connect inside the call. Over the dubbo protocol a call to an
// address where nobody answers takes 3 seconds, whatever its timeout, and calls to
// it line up behind each other; over Triple it takes the whole deadline. An
// [Invoker] can be asked to be ready, within a time, before a call is handed to it.
//
// An Invoker is safe for concurrent use. It has at most one goroutine at a time, which
// ends when dubbo-go's client has connected or given up.
package connect

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// ErrUnreachable reports that no connection could be made in time. The call was not
// handed to the client, so that it can be sent to another endpoint.
var ErrUnreachable = errors.New("no connection")

// Invoker is an invoker of dubbo-go's that can be asked for its connection.
type Invoker struct {
	base.Invoker
	address string
	dubbo   bool

	mu  sync.Mutex
	now *question // nil while nobody asks
}

// question is one look at a dubbo client, for all who ask meanwhile.
type question struct {
	done chan struct{} // closed with the answer
	up   bool
}

// New returns i with a way to ask for its connection; i itself if it is of a
// protocol that is not known here.
func New(i base.Invoker) base.Invoker {
	u := i.GetURL()
	if u == nil {
		return i
	}
	switch u.Protocol {
	case constant.DubboProtocol:
		return &Invoker{Invoker: i, address: u.Location, dubbo: true}
	case constant.TriProtocol:
		return &Invoker{Invoker: i, address: u.Location}
	}
	return i
}

// EachCall reports that a connection may be lost without any call noticing, so that
// the invoker is to be asked before each call. Otherwise it need only be asked while
// no call has been answered since the last failure.
func (i *Invoker) EachCall() bool { return i.dubbo }

// grace is how long dubbo-go's client may take to say that it is connected, before
// its address is looked at.
const grace = 5 * time.Millisecond

// Ready waits until there is a connection, at most as long as within, which is above
// 0. Its error wraps [ErrUnreachable].
func (i *Invoker) Ready(within time.Duration) error {
	if !i.dubbo {
		return i.look(within)
	}
	q := i.ask()
	if answered, err := i.await(q, min(grace, within)); answered {
		return err
	}
	// It is connecting, and would go on for 3 seconds where nobody listens.
	start := time.Now()
	if err := i.look(within); err != nil {
		return err
	}
	if answered, err := i.await(q, within-time.Since(start)); answered {
		return err
	}
	return fmt.Errorf("%w to %s within %v", ErrUnreachable, i.address, within)
}

// look reports whether the address takes a connection in time.
func (i *Invoker) look(within time.Duration) error {
	conn, err := net.DialTimeout("tcp", i.address, within)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return conn.Close()
}

// await waits for the answer to a question for a time.
func (i *Invoker) await(q *question, within time.Duration) (answered bool, err error) {
	t := timers.Get().(*time.Timer) //nolint:errcheck // nothing else is in it
	t.Reset(within)
	defer func() {
		t.Stop()
		timers.Put(t)
	}()
	select {
	case <-q.done:
		if !q.up {
			return true, fmt.Errorf("%w to %s", ErrUnreachable, i.address)
		}
		return true, nil
	case <-t.C:
		return false, nil
	}
}

// timers are stopped ones: one is needed for each call.
var timers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}

// ask joins the question that is under way, or starts one. dubbo-go's client answers
// only when it has a connection, or none after 3 seconds.
func (i *Invoker) ask() *question {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.now == nil {
		i.now = &question{done: make(chan struct{})}
		go i.answer(i.now)
	}
	return i.now
}

func (i *Invoker) answer(q *question) {
	defer func() {
		_ = recover() // dubbo-go's client, while it loses its connection: then it is not up
		i.mu.Lock()
		i.now = nil
		i.mu.Unlock()
		close(q.done)
	}()
	q.up = i.IsAvailable()
}
