// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"errors"
	"net"
	"sync"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
)

// errEnded is why a link's client dials no more.
var errEnded = errors.New("zookeeper: the client has ended")

// link is a client that can be ended whatever it is doing.
//
// The client's own Close cannot do that: a server that accepts and then says nothing
// (one that is starting, or hangs) holds it for ten times two thirds of the session
// before it looks around, and a question that was waiting to be sent when the loop
// ends is never answered. So end takes the connection away and lets it have no other:
// then the client is dialling and nothing else, and there it answers everybody.
type link struct {
	conn *zk.Conn

	mu     sync.Mutex
	tcp    net.Conn  // the last one
	away   time.Time // when the server last took no connection
	ended  bool
	dialed chan struct{} // closed by the first dial after the end
}

// newLink makes a client that asks for the session's length and tells hear, which must
// not block, of every event.
func newLink(servers []string, length time.Duration, hear func(zk.Event)) (*link, error) {
	l := &link{dialed: make(chan struct{})}
	var err error
	l.conn, _, err = zk.Connect(servers, length, zk.WithLogInfo(false), zk.WithLogger(quiet{}), zk.WithDialer(l.dial), zk.WithEventCallback(hear))
	return l, err
}

// refused returns when a server last took no connection, zero if one always did.
func (l *link) refused() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.away
}

// dial is the client's way to a server, one call at a time.
func (l *link) dial(network, address string, timeout time.Duration) (net.Conn, error) {
	tcp, err := net.DialTimeout(network, address, timeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.tcp = tcp
		if err != nil {
			l.away = time.Now()
		}
		return tcp, err
	}
	if err == nil {
		_ = tcp.Close() // nothing was sent
	}
	select {
	case <-l.dialed:
	default:
		close(l.dialed)
	}
	return nil, errEnded
}

// end closes the client; whatever is asked of it or was, is answered with an error.
// It takes up to about 3 s and must be called once.
func (l *link) end() {
	l.mu.Lock()
	l.ended = true
	tcp := l.tcp
	l.mu.Unlock()
	if tcp != nil {
		_ = tcp.Close() // it may have been closed already
	}
	<-l.dialed
	l.conn.Close()
}

// quiet drops the client's log, a line a second while the server is away; we
// say it once.
type quiet struct{}

func (quiet) Printf(string, ...any) {}
