// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/nacoslogin"
	"github.com/graylane/graylane/internal/shell"
)

// serviceKey names a service of Nacos within the namespace of a connection.
type serviceKey struct{ group, name string }

func (k serviceKey) String() string { return k.group + "@@" + k.name }

// shared is the one connection of the process to one Nacos and namespace, and what
// shall be registered and subscribed over it. One goroutine, the keeper, connects
// and makes the server hold what is wanted, on every new connection anew; it is
// started by the first use. Users count.
type shared struct {
	address address
	users   int // guarded by pool.mu

	ctx     context.Context
	cancel  context.CancelFunc
	kick    chan struct{} // holds one token: there is something to do
	account nacoslogin.Account
	asking  sync.WaitGroup // after instances that a list lacks

	mu       sync.Mutex
	ended    chan struct{} // closed when the keeper has ended; nil until it starts
	now      *conn         // nil while there is none
	had      bool          // there was one
	back     time.Time     // when there was one again, zero if it was never lost
	changed  chan struct{} // closed and replaced after every step of the keeper
	err      error         // why the last step failed, nil if it did not
	services map[serviceKey]*service
	topics   map[serviceKey]*topic
}

// pool holds the connections in use.
var pool = struct { //nolint:gochecknoglobals // one connection per process is the point
	mu   sync.Mutex
	open map[address]*shared
}{open: make(map[address]*shared)}

// acquire returns the connection for a; it never blocks. Each acquire needs one release.
func acquire(a address) *shared {
	pool.mu.Lock()
	defer pool.mu.Unlock()
	s := pool.open[a]
	if s == nil {
		s = &shared{
			address: a, account: nacoslogin.Account{Username: a.username, Password: a.password}, kick: make(chan struct{}, 1), changed: make(chan struct{}),
			services: make(map[serviceKey]*service), topics: make(map[serviceKey]*topic),
		}
		s.ctx, s.cancel = context.WithCancel(context.Background())
		pool.open[a] = s
	}
	s.users++
	return s
}

// release gives one use back; the last one closes the connection.
func (s *shared) release() {
	pool.mu.Lock()
	s.users--
	last := s.users == 0
	if last {
		delete(pool.open, s.address)
	}
	pool.mu.Unlock()
	if !last {
		return
	}
	s.cancel()
	s.mu.Lock()
	ended := s.ended
	s.mu.Unlock()
	if ended != nil {
		<-ended
	}
	s.asking.Wait()
}

// start makes sure that the keeper runs. s.mu is held.
func (s *shared) start() {
	if s.ended == nil {
		s.ended = make(chan struct{})
		go s.keep()
	}
}

func (s *shared) wake() { mark(s.kick) }

// step publishes how a step of the keeper went and wakes those who wait.
func (s *shared) step(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
	close(s.changed)
	s.changed = make(chan struct{})
}

// wait returns nil when done, called with mu held, says so.
func (s *shared) wait(ctx context.Context, done func() bool) error {
	began := time.Now()
	for {
		s.mu.Lock()
		s.start()
		ok, changed, cause := done(), s.changed, s.err
		s.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-changed:
		case <-s.ctx.Done():
			return shell.ErrDestroyed
		case <-ctx.Done():
			if cause == nil {
				cause = ctx.Err()
			}
			return fmt.Errorf("nacos: registry %s: not done within %v: %w", s.address.where(), time.Since(began).Round(time.Millisecond), cause)
		}
	}
}

// conn returns the connection, waiting for it until ctx ends.
func (s *shared) conn(ctx context.Context) (*conn, error) {
	var c *conn
	err := s.wait(ctx, func() bool {
		c = s.now
		return c != nil
	})
	return c, err
}

// ask sends one request over the connection, once it is there.
func (s *shared) ask(ctx context.Context, r rpc_request.IRequest) (*answer, error) {
	c, err := s.conn(ctx)
	if err != nil {
		return nil, err
	}
	return s.send(ctx, c, r)
}

// send signs and sends one request over c.
func (s *shared) send(ctx context.Context, c *conn, r rpc_request.IRequest) (*answer, error) {
	if err := s.sign(ctx, c, r); err != nil {
		return nil, err
	}
	a, err := c.request(ctx, r)
	var no *refusal
	if errors.As(err, &no) && no.code == codeForbidden {
		s.account.Forget(r.GetHeaders()[tokenHeader]) // the next attempt logs in again
	}
	return a, err
}

// keep is the keeper.
func (s *shared) keep() {
	defer close(s.ended)
	failures := 0
	for s.ctx.Err() == nil {
		c, err := s.connect()
		if s.ctx.Err() != nil {
			if c != nil {
				c.close()
			}
			return
		}
		if err != nil {
			if failures == 0 {
				logger.Warnf("[graylane] nacos %s: %v; trying again, the last known lists stay in use", s.address.where(), err)
			}
			s.step(err)
			center.Pause(s.ctx, failures)
			failures++
			continue
		}
		if failures > 0 {
			logger.Infof("[graylane] nacos %s: connected after %d failures", s.address.where(), failures)
			failures = 0
		}
		s.mu.Lock()
		s.now = c
		if s.had {
			s.back = time.Now()
		}
		s.had = true
		s.mu.Unlock()
		s.step(nil)
		s.serve(c)
		s.mu.Lock()
		s.now = nil
		s.mu.Unlock()
		c.close()
	}
}

// lastBack returns when the connection was last there again after it had been lost,
// zero if it never was.
func (s *shared) lastBack() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.back
}

// connect tries every server once, beginning with any.
func (s *shared) connect() (*conn, error) {
	servers, err := s.servers()
	if err != nil {
		return nil, err
	}
	first := rand.IntN(len(servers))
	for n := range servers {
		var c *conn
		if c, err = open(s.ctx, servers[(first+n)%len(servers)], s.pushed); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (s *shared) servers() ([]string, error) {
	if s.address.endpoint == "" {
		return strings.Split(s.address.servers, ","), nil
	}
	return fromEndpoint(s.ctx, s.address.endpoint)
}

// serve does what there is to do over c until c is of no use any more.
func (s *shared) serve(c *conn) {
	health := time.NewTicker(healthEvery)
	defer health.Stop()
	failures := 0
	for s.ctx.Err() == nil && c.alive() {
		err := s.round(c)
		if s.ctx.Err() != nil {
			return
		}
		s.step(err)
		var retry <-chan time.Time
		if err == nil {
			failures = 0
		} else {
			if failures == 0 && c.alive() {
				logger.Warnf("[graylane] nacos %s: %v; trying again", s.address.where(), err)
			}
			retry = time.After(center.Delay(failures))
			failures++
		}
		select {
		case <-s.ctx.Done():
		case <-c.broken:
			logger.Warnf("[graylane] nacos %s: the connection is lost, connecting again", c.server)
		case <-s.kick:
		case <-retry:
		case <-health.C:
			if err := c.healthy(s.ctx); err != nil && s.ctx.Err() == nil {
				logger.Warnf("[graylane] nacos %s: %v", c.server, err)
				c.giveUp()
			}
		}
	}
}

// round makes the server hold what is wanted, once: registrations first, for others
// miss them. A failure of one does not keep the others waiting.
func (s *shared) round(c *conn) error {
	var errs []error
	for _, job := range s.jobs(c) {
		if s.ctx.Err() != nil || !c.alive() {
			break
		}
		ctx, cancel := context.WithTimeout(s.ctx, operation)
		err := job(ctx)
		cancel()
		if err != nil {
			errs = append(errs, err)
			var no *refusal
			if !errors.As(err, &no) && c.healthy(s.ctx) != nil {
				c.giveUp()
			}
		} else {
			s.step(nil)
		}
	}
	return errors.Join(errs...)
}

// jobs lists what has to be done over c.
func (s *shared) jobs(c *conn) []func(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var jobs []func(context.Context) error
	for key, v := range s.services {
		if len(v.want) == 0 && (v.on != c || v.done && len(v.has) == 0) {
			delete(s.services, key) // nothing of it is at the server
			continue
		}
		if !v.settled(c) {
			jobs = append(jobs, func(ctx context.Context) error { return s.publish(ctx, c, key, v) })
		}
	}
	for key, t := range s.topics {
		if len(t.watches) == 0 && t.on != c {
			delete(s.topics, key)
			continue
		}
		if (t.on != c) != (len(t.watches) == 0) {
			jobs = append(jobs, func(ctx context.Context) error { return s.subscribe(ctx, c, key, t) })
		}
	}
	return jobs
}

// query reads the present list of a service from the server.
func (s *shared) query(ctx context.Context, key serviceKey) ([]model.Instance, error) {
	a, err := s.ask(ctx, rpc_request.NewServiceQueryRequest(s.address.namespace, key.name, key.group, "", false, 0))
	if err != nil {
		return nil, err
	}
	return a.ServiceInfo.Hosts, nil
}

// page is how many names one request asks for.
const page = 500

// names lists the services of a group.
func (s *shared) names(ctx context.Context, group string) ([]string, error) {
	var all []string
	for n := 1; ; n++ {
		a, err := s.ask(ctx, rpc_request.NewServiceListRequest(s.address.namespace, "", group, n, page, ""))
		if err != nil {
			return nil, err
		}
		all = append(all, a.ServiceNames...)
		if len(a.ServiceNames) < page {
			return all, nil
		}
	}
}
