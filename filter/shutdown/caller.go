// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"maps"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/filter/tag"
)

// Bounds of what peers can make us remember. What comes later shares one entry.
const (
	maxCallers       = 4096
	maxMethods       = 256 // per caller
	maxCallerIDBytes = 256
)

const (
	unknownCaller = "unknown"
	otherCaller   = "other"
	// javaAppHeader is what Dubbo Java's Triple client sends: its application name.
	javaAppHeader = "tri-consumer-appname"
)

// caller is the book of one caller. The counters live as long as the process.
type caller struct {
	// The following fields are immutable.
	id       string
	reroutes bool

	accepted, completed, aborted, refused, afterMark atomic.Uint64

	lastStart atomic.Int64 // offset of its last call whose handler ran
	informed  atomic.Int64 // offset of the first closing mark sent to it, or of its word that it knows
	left      atomic.Int64 // offset of its word that it ends
	overDubbo atomic.Bool  // it called over a protocol that NOT_SERVING does not reach

	methods methods
}

// methods counts what runs, by method.
type methods struct {
	mu  sync.Mutex // serialises writers only
	cur atomic.Pointer[map[method]*atomic.Int64]
}

type method struct{ service, name string }

// running returns the in-flight count of one method.
func (c *caller) running(service, name string) *atomic.Int64 {
	m := method{service, name}
	if n := (*c.methods.cur.Load())[m]; n != nil {
		return n
	}
	return c.methods.add(m)
}

func (ms *methods) add(m method) *atomic.Int64 {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	cur := *ms.cur.Load()
	if len(cur) >= maxMethods {
		m = method{name: otherCaller}
	}
	if n := cur[m]; n != nil {
		return n
	}
	// The strings may point into a message buffer; keep copies.
	m = method{strings.Clone(m.service), strings.Clone(m.name)}
	next := maps.Clone(cur)
	next[m] = new(atomic.Int64)
	ms.cur.Store(&next)
	return next[m]
}

func newCaller(id string, reroutes bool) *caller {
	c := &caller{id: id, reroutes: reroutes}
	c.methods.cur.Store(&map[method]*atomic.Int64{})
	return c
}

// callers finds the book of a call. Readers take no lock and make no copy.
type callers struct {
	mu  sync.Mutex // serialises writers only
	cur atomic.Pointer[book]
}

// book is immutable once published.
type book struct {
	believed map[string]*caller // by the whole value of graylane-caller
	plain    map[string]*caller // by address or application
	// Who comes when the book is full.
	otherBelieved, otherPlain *caller
}

func (cs *callers) init() {
	cs.cur.Store(&book{
		believed:      map[string]*caller{},
		plain:         map[string]*caller{},
		otherBelieved: newCaller(otherCaller, true),
		otherPlain:    newCaller(otherCaller, false),
	})
}

// of returns the book of the call's caller.
func (cs *callers) of(inv base.Invocation, incarnation string) *caller {
	b := cs.cur.Load()
	if v, ok := inv.GetAttachment(tag.KeyCaller); ok {
		if c := b.believed[v]; c != nil {
			return c
		}
		if id, ok := believe(v, incarnation); ok {
			return cs.add(v, id, true)
		}
	}
	key := plainKey(inv)
	if c := b.plain[key]; c != nil {
		return c
	}
	return cs.add(key, key, false)
}

// believe returns the caller id of "<id>;<incarnation>" if the call was meant for
// this incarnation and the id is fit for a log line.
func believe(v, incarnation string) (id string, ok bool) {
	i := strings.LastIndexByte(v, ';')
	if i <= 0 || i > maxCallerIDBytes || v[i+1:] != incarnation {
		return "", false
	}
	return v[:i], printable(v[:i])
}

// plainKey names a caller that cannot reroute.
func plainKey(inv base.Invocation) string {
	if addr, ok := inv.GetAttachment(constant.RemoteAddr); ok && addr != "" {
		if host, _, err := net.SplitHostPort(addr); err == nil {
			addr = host
		}
		if len(addr) <= maxCallerIDBytes && printable(addr) {
			return addr
		}
	}
	if app, ok := inv.GetAttachment(javaAppHeader); ok && app != "" && len(app) <= maxCallerIDBytes && printable(app) {
		return app
	}
	return unknownCaller
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func (cs *callers) add(key, id string, reroutes bool) *caller {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	b := *cs.cur.Load()
	m, other := b.plain, b.otherPlain
	if reroutes {
		m, other = b.believed, b.otherBelieved
	}
	if c := m[key]; c != nil {
		return c
	}
	if len(b.believed)+len(b.plain) >= maxCallers {
		return other
	}
	key = strings.Clone(key) // it may point into a message buffer
	c := newCaller(strings.Clone(id), reroutes)
	next := maps.Clone(m)
	next[key] = c
	if reroutes {
		b.believed = next
	} else {
		b.plain = next
	}
	cs.cur.Store(&b)
	return c
}

// all calls f for every caller that ever called.
func (cs *callers) all(f func(*caller)) {
	b := cs.cur.Load()
	for _, c := range b.believed {
		f(c)
	}
	for _, c := range b.plain {
		f(c)
	}
	for _, c := range []*caller{b.otherBelieved, b.otherPlain} {
		if c.lastStart.Load() != 0 || c.refused.Load() != 0 {
			f(c)
		}
	}
}
