// SPDX-License-Identifier: Apache-2.0

package line

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/connect"
)

// patience is for how long dubbo-go's protocol tries to connect, and waits for an answer
// to a call that says nothing.
const patience = 3 * time.Second

// client is a client of dubbo-go's.
type client struct {
	*remoting.ExchangeClient
	stuck  chan struct{} // closed when it is: it is asked for nothing any more
	ended  chan struct{} // closed when its connections are
	giving sync.Once
	ending sync.Once
}

func newClient(ex *remoting.ExchangeClient) *client {
	return &client{ExchangeClient: ex, stuck: make(chan struct{}), ended: make(chan struct{})}
}

func (c *client) usable() bool {
	select {
	case <-c.stuck:
		return false
	default:
		return true
	}
}

var stuckClients atomic.Int64 //nolint:gochecknoglobals // a counter of the process

// giveUp leaves a client that is stuck to itself, and says so once.
func (c *client) giveUp(address string, why any) {
	c.giving.Do(func() {
		close(c.stuck)
		logger.Warnf("[graylane] dubbo-go's client of %s is stuck (%v), the %d. of this process; a new one takes its place", address, why, stuckClients.Add(1))
	})
}

// end closes a client's connections, in the background: one may be stuck without
// anybody knowing, and never return. One that is known to be is left alone.
func (c *client) end() (ended <-chan struct{}) {
	c.ending.Do(func() {
		if !c.usable() {
			close(c.ended)
			return
		}
		go func() {
			defer close(c.ended)
			c.Close()
		}()
	})
	return c.ended
}

// line is the way to an address over dubbo, which all services share: a client, and
// another one once that is stuck.
type line struct {
	address string
	users   int // guarded by lines
	dialing connect.Flight
	now     atomic.Pointer[client] // nil until one has connected
	ended   atomic.Bool
}

// lines are those in use, by address.
var lines struct { //nolint:gochecknoglobals // as dubbo-go, one client an address and process
	sync.Mutex
	by map[string]*line
}

// acquire returns the line to an address. It wants a release.
func acquire(address string) *line {
	lines.Lock()
	defer lines.Unlock()
	l := lines.by[address]
	if l == nil {
		if lines.by == nil {
			lines.by = make(map[string]*line)
		}
		l = &line{address: address}
		lines.by[address] = l
	}
	l.users++
	return l
}

// linesTo returns what tells whether the client of an address is stuck, nil if there is
// none.
func linesTo(address string) (stuck func() <-chan struct{}) {
	lines.Lock()
	defer lines.Unlock()
	if l := lines.by[address]; l != nil {
		return l.stuck
	}
	return nil
}

// stuck is closed once the client of now is, nil if there is none to be asked.
func (l *line) stuck() <-chan struct{} {
	if c := l.usable(); c != nil {
		return c.stuck
	}
	return nil
}

// release gives the line back; the last one who does ends it.
func (l *line) release() {
	lines.Lock()
	l.users--
	last := l.users == 0
	if last && lines.by[l.address] == l {
		delete(lines.by, l.address)
	}
	lines.Unlock()
	if last {
		l.end()
	}
}

// end closes the client; one that is being made is closed when it is there.
func (l *line) end() (ended <-chan struct{}) {
	l.ended.Store(true)
	if c := l.now.Load(); c != nil {
		return c.end()
	}
	return nil
}

// endLines ends all lines and waits for that, at most as long as within.
func endLines(within time.Duration) {
	lines.Lock()
	var waits []<-chan struct{}
	for _, l := range lines.by {
		if w := l.end(); w != nil {
			waits = append(waits, w)
		}
	}
	lines.Unlock()
	late := time.After(within)
	for _, w := range waits {
		select {
		case <-w:
		case <-late:
			return
		}
	}
}

// usable returns the client, nil if there is none that can be asked.
func (l *line) usable() *client {
	if c := l.now.Load(); c != nil && c.usable() {
		return c
	}
	return nil
}

// connected returns the client, connecting to the address of u if there is none. Those
// who come meanwhile share what comes of it.
func (l *line) connected(u *common.URL) (*client, error) {
	if c := l.usable(); c != nil {
		return c, nil
	}
	q := l.dialing.Join(func() error { return l.connect(u) }, nil)
	<-q.Done
	return l.now.Load(), q.Err
}

func (l *line) connect(u *common.URL) (err error) {
	defer func() {
		if r := recover(); r != nil { // settings that getty takes for impossible
			err = fmt.Errorf("%w to %s: %v", connect.ErrUnreachable, l.address, r)
		}
	}()
	if l.usable() != nil { // since it was looked for
		return nil
	}
	ex := remoting.NewExchangeClient(u, getty.NewClient(getty.Options{ConnectTimeout: patience, RequestTimeout: patience}), patience, false)
	if ex == nil {
		return fmt.Errorf("%w to %s", connect.ErrUnreachable, l.address)
	}
	l.take(newClient(ex))
	return nil
}

// take makes a client the one of now. If the line has ended meanwhile nobody else
// closes it.
func (l *line) take(c *client) {
	l.now.Store(c)
	if l.ended.Load() {
		l.end()
	}
}
