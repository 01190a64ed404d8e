// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/go-zookeeper/zk"

	"github.com/graylane/graylane/internal/center"
)

const (
	// defaultTimeout is dubbo-go's, of an operation and of the session: entries live as
	// long after a crash.
	defaultTimeout = 5 * time.Second
	// giveUpSession is shorter than that of rules: entries are missing meanwhile.
	giveUpSession = 5 * time.Second
)

// shared is the session that the registry objects of this process have with one set
// of servers. Users count.
type shared struct {
	client
	key   string
	users int // guarded by pool.mu
	ctx   context.Context
	end   context.CancelFunc
	work  sync.WaitGroup

	ears  sync.Mutex
	heard map[*ear]struct{}
	lost  bool      // there was a session, and the connection is gone
	had   bool      // there was a session
	back  time.Time // when the connection was there again after it had been lost
}

// ear is somebody who wants to know what the session's events are about.
type ear struct {
	folder string
	node   func(path string) // something happened to the folder or to a node in it
	again  func()            // the session began, or the connection was lost: events may have been, too
}

// pool holds the sessions in use.
var pool = struct { //nolint:gochecknoglobals // one session per process is the point
	mu   sync.Mutex
	open map[string]*shared
}{open: make(map[string]*shared)}

// acquire returns the session for a registry's or report's URL; it never blocks. Each
// acquire needs one release. An error means that u is wrong.
func acquire(u *common.URL) (*shared, error) {
	location := u.Location
	if location == "" {
		location = u.Address()
	}
	servers, err := serversOf(location)
	if err != nil {
		return nil, err
	}
	key := strings.Join(servers, ",")
	pool.mu.Lock()
	defer pool.mu.Unlock()
	s := pool.open[key]
	if s == nil {
		s = newShared(key, servers, timeoutOf(u), giveUpSession)
		pool.open[key] = s
	}
	s.users++
	return s, nil
}

func newShared(key string, servers []string, session, giveUp time.Duration) *shared {
	s := &shared{client: client{servers: servers, session: session, giveUp: giveUp}, key: key, heard: make(map[*ear]struct{})}
	s.hear = s.event
	s.ctx, s.end = context.WithCancel(context.Background())
	s.work.Go(s.tend)
	return s
}

// release gives one use back; the last one ends the session, and all entries with it.
func (s *shared) release() {
	pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(pool.open, s.key)
	}
	pool.mu.Unlock()
	if last {
		s.end()
		s.work.Wait()
		s.close()
	}
}

// timeoutOf returns a registry's timeout.
func timeoutOf(u *common.URL) time.Duration {
	if d := u.GetParamDuration(constant.RegistryTimeoutKey, ""); d > 0 {
		return d
	}
	return defaultTimeout
}

// tend drops a session that has become useless.
func (s *shared) tend() {
	tick := time.NewTicker(s.giveUp / 5)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.mu.Lock()
			l := s.link
			s.mu.Unlock()
			if l != nil {
				s.look(l)
			}
		case <-s.ctx.Done():
			return
		}
	}
}

func (s *shared) listen(e *ear) {
	s.ears.Lock()
	defer s.ears.Unlock()
	s.heard[e] = struct{}{}
}

func (s *shared) unlisten(e *ear) {
	s.ears.Lock()
	defer s.ears.Unlock()
	delete(s.heard, e)
}

// event hands an event on. The client's own goroutine calls it.
func (s *shared) event(e zk.Event) {
	if e.Type == zk.EventSession && e.State != zk.StateHasSession && e.State != zk.StateDisconnected {
		return
	}
	s.ears.Lock()
	defer s.ears.Unlock()
	switch {
	case e.Type != zk.EventSession:
	case e.State == zk.StateDisconnected:
		s.lost = s.had
	case s.lost:
		s.lost, s.back = false, time.Now()
	default:
		s.had = true
	}
	for who := range s.heard {
		switch {
		case e.Type == zk.EventSession:
			who.again()
		case who.node != nil && inside(who.folder, e.Path):
			who.node(e.Path)
		}
	}
}

// reconnected returns when the connection was last there again after it had been lost,
// zero if it never was.
func (s *shared) reconnected() time.Time {
	s.ears.Lock()
	defer s.ears.Unlock()
	return s.back
}

// inside reports that a path is the folder or a node of it.
func inside(folder, path string) bool {
	rest, ok := strings.CutPrefix(path, folder)
	return ok && (rest == "" || rest[0] == '/' && strings.LastIndexByte(rest, '/') == 0)
}

// do asks something of the server. It has to call alive after each answer, see
// [client.bound].
func do[T any](s *shared, ask func(c *zk.Conn, alive func()) (T, error)) (T, error) {
	l, err := s.current()
	if err != nil {
		var none T
		return none, err
	}
	alive, stop := s.bound(l)
	defer stop()
	return ask(l.conn, alive)
}

// try repeats an operation until it succeeds, fails for a reason that stays, or ctx
// ends. An operation that is under way then goes on, and nobody waits for it: what it
// finds out it has to return, not to leave in a variable of the caller.
func try[T any](ctx context.Context, s *shared, ask func(c *zk.Conn, alive func()) (T, error)) (T, error) {
	type answer struct {
		what T
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		for n := 0; ; n++ {
			what, err := do(s, ask)
			if !passing(err) || ctx.Err() != nil {
				done <- answer{what, err}
				return
			}
			center.Pause(ctx, n)
		}
	}()
	select {
	case a := <-done:
		return a.what, a.err
	case <-ctx.Done():
		select {
		case a := <-done:
			return a.what, a.err
		default:
			var none T
			return none, ctx.Err()
		}
	}
}

// nothing is what an operation returns that only changes something.
type nothing = struct{}

// passing reports an error that says nothing of what was asked.
func passing(err error) bool {
	for _, e := range [...]error{zk.ErrNoServer, zk.ErrConnectionClosed, zk.ErrSessionExpired, zk.ErrSessionMoved, zk.ErrClosing, errEnded} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
