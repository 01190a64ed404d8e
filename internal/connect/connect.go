// SPDX-License-Identifier: Apache-2.0

// Package connect bounds the time that a call waits for a connection.
//
// dubbo-go's clients connect inside the call. Over the dubbo protocol a call to an
// address where nobody answers takes 3 seconds, whatever its timeout, and calls to
// it line up behind each other; over Triple it takes the whole deadline. An
// [Invoker] can be asked to be ready, within a time, before a call is handed to it.
//
// An Invoker is safe for concurrent use. However many calls wait, it asks dubbo-go's
// client once and dials once at a time: a storm of dials would make an address that is
// merely slow look like one that is gone. Its goroutines end when the client has
// connected or given up.
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
	stuck   func() <-chan struct{} // see Lines

	client, dial Flight
}

// Lines is set by the package that makes dubbo-go's clients over dubbo, if there is one.
// It returns a function, or nil: a channel that is closed once the client of the
// address, which can be asked now, will never answer any more; nil if there is none.
var Lines func(address string) (stuck func() <-chan struct{}) //nolint:gochecknoglobals // set by an init: who asks must not link the protocol

// New returns i with a way to ask for its connection; i itself if it is of a
// protocol that is not known here.
func New(i base.Invoker) base.Invoker {
	u := i.GetURL()
	if u == nil {
		return i
	}
	switch u.Protocol {
	case constant.DubboProtocol:
		c := &Invoker{Invoker: i, address: u.Location, dubbo: true}
		if Lines != nil {
			c.stuck = Lines(u.Location)
		}
		return c
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
// its address is looked at. patience bounds that look; dubbo-go's client gives up
// after as long.
const (
	grace    = 5 * time.Millisecond
	patience = 3 * time.Second
)

// Ready waits until there is a connection, at most as long as within, which is above
// 0. Its error wraps [ErrUnreachable].
func (i *Invoker) Ready(within time.Duration) error {
	late := timers.Get().(*time.Timer) //nolint:errcheck // nothing else is in it
	defer func() {
		late.Stop()
		timers.Put(late)
	}()
	if !i.dubbo {
		late.Reset(within)
		return i.await(i.dial.Join(i.look, nil), nil, late)
	}
	asked := i.client.Join(i.ask, i.vain())
	late.Reset(min(grace, within))
	select {
	case <-asked.Done:
		return asked.Err
	case <-asked.vain:
		return i.gaveUp()
	case <-late.C:
	}
	// It is connecting, and would go on for 3 seconds where nobody listens.
	late.Reset(within)
	if err := i.await(i.dial.Join(i.look, nil), asked, late); err != nil {
		return err
	}
	return i.await(asked, nil, late)
}

// await waits for an answer; a second question that is answered yes will do as well.
func (i *Invoker) await(q, second *Question, late *time.Timer) error {
	var other <-chan struct{}
	if second != nil {
		other = second.Done
	}
	select {
	case <-q.Done:
		return q.Err
	case <-q.vain:
		return i.gaveUp()
	case <-other:
		return second.Err
	case <-late.C:
		return fmt.Errorf("%w to %s in time", ErrUnreachable, i.address)
	}
}

// vain is closed once the client that is asked now will never answer.
func (i *Invoker) vain() <-chan struct{} {
	if i.stuck == nil {
		return nil
	}
	return i.stuck()
}

// gaveUp is the error of those who asked a client that will never answer.
func (i *Invoker) gaveUp() error {
	return fmt.Errorf("%w to %s: dubbo-go's client is stuck", ErrUnreachable, i.address)
}

// look reports whether the address takes a connection.
func (i *Invoker) look() error {
	conn, err := net.DialTimeout("tcp", i.address, patience)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return conn.Close()
}

// ask reports whether dubbo-go's client is connected; it connects if it is not.
func (i *Invoker) ask() (err error) {
	defer func() {
		if r := recover(); r != nil { // dubbo-go's client, while it loses its connection
			err = fmt.Errorf("%w to %s: %v", ErrUnreachable, i.address, r)
		}
	}()
	if !i.IsAvailable() {
		return fmt.Errorf("%w to %s", ErrUnreachable, i.address)
	}
	return nil
}

// timers are stopped ones: one is needed for each call.
var timers = sync.Pool{New: func() any { //nolint:gochecknoglobals // a pool
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}}
