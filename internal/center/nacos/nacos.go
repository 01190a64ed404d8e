// SPDX-License-Identifier: Apache-2.0

// Package nacos follows texts in a Nacos config centre by its open HTTP API
// (version 1, which Nacos 1 and 2 serve, and 3 unless it is switched off).
//
// One request is always open: it names every text with the MD5 that we have, and
// the server answers as soon as one differs, appears or is deleted. nacos-sdk-go
// v2.2.5 tells of a first publish up to 5 s late and never of a delete, after
// which it asks about 3,000 times a second until its own limiter refuses.
//
// The connection is plain HTTP on the port of dubbogo.yml (8848), so that no SDK
// comes with it. Access keys, an address server (endpoint) and encrypted texts
// want the SDK: with them, dubbo-go's own listener has to do.
package nacos

import (
	"context"
	"crypto/md5" //nolint:gosec // what Nacos compares texts by
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/nacoslogin"
)

// Name is the protocol in dubbogo.yml.
const Name = "nacos"

const (
	defaultPort  = "8848"
	defaultGroup = "DEFAULT_GROUP" // dubbo-go's where dubbogo.yml names none
	java         = "dubbo"         // the group of Dubbo Java and dubbo-admin

	// hold is how long the server holds a request that has nothing to tell: the
	// least that Nacos accepts is 10 s, of which it keeps half a second back.
	hold = 10500 * time.Millisecond
	// late is when an unanswered request is given up: a server that hangs is found.
	late = hold + 4500*time.Millisecond
	// refusedFor is how long a text that the account may not read is left alone.
	refusedFor = 10 * time.Second
	// settle is for how long after a failure "there is no such text" is not
	// believed: a server that starts may say so before it has loaded its texts.
	settle = 3 * time.Second
)

// Source is a [center.Source].
type Source struct {
	servers []string // host:port/context
	groups  []string
	tenant  string
	account nacoslogin.Account
	http    *http.Client

	ctx  context.Context // of the loop; ends with Close
	end  context.CancelFunc
	once sync.Once // starts the loop
	wg   sync.WaitGroup
	wake chan struct{} // the set of entries has changed

	mu      sync.Mutex
	entries []*entry

	// Of the loop.
	server   int // index of the one in use
	failures int
	failed   time.Time
	polling  bool // the server cannot hold requests: ask every second
}

// entry is one text that somebody follows. Its fields below tell belong to the loop.
type entry struct {
	group, key string
	tell       func(string)

	gone  chan struct{} // closed when the follower has left
	read  bool          // text and md5 are what the server had
	stale bool          // but it has something else now
	deny  time.Time     // when the server refused to give it, zero if it did not
	text  string
	md5   string // "" with a text: the server had none when it was asked last
}

var _ center.Source = (*Source)(nil)

// New reads what dubbo-go's own Nacos config centre reads of u: address with
// context path, account, config-center.namespace and .group.
func New(u *common.URL) (*Source, error) {
	for _, key := range []string{constant.ConfigAccessKey, constant.NacosEndpoint} {
		if u.GetParam(key, "") != "" {
			return nil, fmt.Errorf("params.%s wants the SDK", key)
		}
	}
	s := &Source{
		tenant: u.GetParam(constant.ConfigNamespaceKey, ""), account: nacoslogin.Account{Username: u.Username, Password: u.Password},
		wake: make(chan struct{}, 1),
		http: &http.Client{Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 2, IdleConnTimeout: time.Minute,
		}},
	}
	path := u.Path
	if path == "" || path == "/" {
		path = "/nacos"
	}
	for part := range strings.SplitSeq(u.Location, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		host, in, found := strings.Cut(part, "/")
		if in = "/" + in; !found {
			in = path
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(host, defaultPort)
		}
		s.servers = append(s.servers, host+strings.TrimSuffix(in, "/"))
	}
	if len(s.servers) == 0 {
		return nil, fmt.Errorf("address: got %q, want host:port[,host:port]", u.Location)
	}
	s.ctx, s.end = context.WithCancel(context.Background())
	own := strings.ReplaceAll(u.GetParam(constant.ConfigGroupKey, defaultGroup), "/", "-") // as dubbo-go does
	s.groups = slices.Compact([]string{own, java})
	return s, nil
}

// Groups implements [center.Source].
func (s *Source) Groups() []string { return s.groups }

// Follow implements [center.Source].
func (s *Source) Follow(ctx context.Context, group, key string, tell func(text string)) {
	e := &entry{group: group, key: key, tell: tell, gone: make(chan struct{})}
	s.mu.Lock()
	s.entries = append(s.entries, e)
	s.mu.Unlock()
	s.once.Do(func() { s.wg.Go(func() { s.run(s.ctx) }) })
	s.poke()
	<-ctx.Done()
	close(e.gone)
	s.mu.Lock()
	s.entries = slices.DeleteFunc(s.entries, func(o *entry) bool { return o == e })
	s.mu.Unlock()
	s.poke()
}

func (s *Source) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run follows all entries until ctx ends.
func (s *Source) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if s.failures > 0 {
				logger.Infof("[graylane] nacos %s answers again after %d failures", s.servers[s.server], s.failures)
				s.failures = 0
			}
			continue
		}
		if s.failures == 0 {
			logger.Warnf("[graylane] nacos %s: %v; the last known rules stay in use", s.servers[s.server], err)
		}
		s.failed = time.Now()
		s.server = (s.server + 1) % len(s.servers)
		center.Pause(ctx, s.failures)
		s.failures++
	}
}

// round reads what is not known and then waits for news of the rest.
func (s *Source) round(ctx context.Context) error {
	s.mu.Lock()
	entries := slices.Clone(s.entries)
	s.mu.Unlock()
	if len(entries) == 0 {
		select {
		case <-s.wake:
		case <-ctx.Done():
		}
		return nil
	}
	idle := false
	for _, e := range entries {
		if e.read && !e.stale || e.denied() {
			continue
		}
		text, md5sum, err := s.get(ctx, e.group, e.key)
		var no *refusal
		if errors.As(err, &no) {
			s.leave(e, no)
			continue
		}
		if err != nil {
			return err
		}
		e.deny = time.Time{}
		idle = idle || e.read && md5sum == e.md5
		if left := settle - time.Since(s.failed); text == "" && e.text != "" && left > 0 {
			s.keep(e, left)
			continue
		}
		news := !e.read || text != e.text
		e.read, e.stale, e.text, e.md5 = true, false, text, md5sum
		select {
		case <-e.gone:
		default:
			if news {
				e.tell(text)
			}
		}
	}
	if idle || s.polling { // a server that calls news what is none must not make us spin
		center.Pause(ctx, 4)
	}
	if s.polling {
		for _, e := range entries {
			e.stale = true
		}
		return nil
	}
	return s.await(ctx, slices.DeleteFunc(entries, (*entry).denied))
}

// denied reports that the server has refused to give the text, a short while ago.
func (e *entry) denied() bool { return !e.deny.IsZero() && time.Since(e.deny) < refusedFor }

// leave leaves a text alone for a while that the account may not read; the others are
// followed meanwhile. It keeps what it has.
func (s *Source) leave(e *entry, no *refusal) {
	if e.deny.IsZero() {
		logger.Errorf("[graylane] nacos %s: %s in group %s: %v; asking again every %v", s.servers[s.server], e.key, e.group, no, refusedFor)
	}
	e.deny, e.stale = time.Now(), true
	time.AfterFunc(refusedFor, s.poke)
}

// keep leaves e the text that it has, which the server does not have right after an
// outage: the server tells when it has one again, and after left it is asked anew.
func (s *Source) keep(e *entry, left time.Duration) {
	if e.md5 != "" {
		logger.Warnf("[graylane] nacos %s: %s in group %s is missing right after an outage: it stays in use for %v, then it is asked for again",
			s.servers[s.server], e.key, e.group, left.Round(time.Millisecond))
	}
	e.stale, e.md5 = true, ""
	time.AfterFunc(left, s.poke)
}

// await returns when the server says that something has changed, when the set of
// entries has, or after about 10 s.
func (s *Source) await(ctx context.Context, entries []*entry) error {
	ctx, cancel := context.WithTimeout(ctx, late)
	defer cancel()
	var woken bool
	watching, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-s.wake:
			woken = true
			cancel()
		case <-ended:
		}
	}()
	var changed []string
	var err error
	if len(entries) > 0 {
		changed, err = s.listen(ctx, entries)
	} else {
		<-ctx.Done() // all are refused; one is asked for again soon
	}
	close(ended)
	<-watching
	if woken {
		return nil // the answer, if there was one, comes again
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.Contains(changed, e.group+"\x02"+e.key) {
			e.stale = true
		}
	}
	return nil
}

// Check implements [center.Source].
func (s *Source) Check(ctx context.Context) error {
	hosts := make([]string, 0, len(s.servers))
	for _, server := range s.servers {
		host, _, _ := strings.Cut(server, "/")
		hosts = append(hosts, host)
	}
	if err := center.Dial(ctx, hosts); err != nil {
		return fmt.Errorf("nacos %s cannot be reached: %w", strings.Join(hosts, ","), err)
	}
	var last error
	for _, server := range s.servers {
		if _, _, last = s.getFrom(ctx, server, java, "graylane"); last == nil {
			return nil
		}
	}
	return fmt.Errorf("nacos %s does not answer: %w", strings.Join(hosts, ","), last)
}

// Close implements [center.Source].
func (s *Source) Close() {
	s.end()
	s.wg.Wait()
	s.http.CloseIdleConnections()
}

func sum(text string) string {
	if text == "" {
		return "" // Nacos has no MD5 of what is not there
	}
	h := md5.Sum([]byte(text)) //nolint:gosec // what Nacos compares texts by
	return hex.EncodeToString(h[:])
}
