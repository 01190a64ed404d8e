// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
	"github.com/graylane/graylane/internal/override"
)

// overrideText is one key of the config centre that holds overrides, followed for all
// references of the process that it concerns.
type overrideText struct {
	key  string
	rule atomic.Pointer[override.Rule]
	read chan struct{} // closed when each group has been read once
	vain atomic.Bool   // somebody has waited for read in vain: others do not
	stop context.CancelFunc

	mu     sync.Mutex
	groups []overrideGroup // the first one that has a rule wins
	unread int
	users  []*func()
}

// overrideGroup is what one group of the centre has under the key.
type overrideGroup struct {
	where string // for log lines
	known bool
	text  string
	rule  *override.Rule // the last good one
}

// overrideTexts are those that are followed now, by centre and key.
var overrideTexts struct { //nolint:gochecknoglobals // the config centre is one of the process, too
	sync.Mutex
	m map[string]*overrideText
}

// followOverrides follows a key until leave is called, and calls changed after each
// change of its rule, off the call path. It returns nil if there is no config centre.
// It does not wait: what the centre has is there when read is closed.
func followOverrides(key string, changed func()) (t *overrideText, leave func()) {
	source, name := center.Current()
	if source == nil {
		return nil, func() {}
	}
	at := name + " " + key
	overrideTexts.Lock()
	defer overrideTexts.Unlock()
	if t = overrideTexts.m[at]; t == nil {
		t = begin(source, name, key)
		if overrideTexts.m == nil {
			overrideTexts.m = make(map[string]*overrideText)
		}
		overrideTexts.m[at] = t
	}
	user := &changed
	t.mu.Lock()
	t.users = append(t.users, user)
	t.mu.Unlock()
	return t, func() {
		overrideTexts.Lock()
		defer overrideTexts.Unlock()
		t.mu.Lock()
		t.users = slices.DeleteFunc(t.users, func(u *func()) bool { return u == user })
		none := len(t.users) == 0
		t.mu.Unlock()
		if none && overrideTexts.m[at] == t {
			delete(overrideTexts.m, at)
			t.stop()
		}
	}
}

func begin(source center.Source, name, key string) *overrideText {
	ctx, stop := context.WithCancel(context.Background())
	t := &overrideText{key: key, read: make(chan struct{}), stop: stop}
	for _, g := range source.Groups() {
		where := name + " " + strings.TrimPrefix(g+"/"+key, "/")
		t.groups = append(t.groups, overrideGroup{where: where})
	}
	t.unread = len(t.groups)
	for n, g := range source.Groups() {
		go source.Follow(ctx, g, key, func(text string) { t.tell(n, text) })
	}
	return t
}

// tell takes the text of group n, "" for none.
func (t *overrideText) tell(n int, text string) {
	centreSilent.Store(false)
	t.mu.Lock()
	g := &t.groups[n]
	first := !g.known
	if !first && g.text == text {
		t.mu.Unlock()
		return
	}
	g.known, g.text = true, text
	rule, err := override.Decode(text)
	if err != nil {
		logger.Warnf("[graylane] overrides of %s: %s; the last good ones stay", g.where, strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		if rule != nil {
			rule.Where = g.where
		}
		g.rule = rule
	}
	before := t.rule.Load()
	var now *override.Rule
	for _, g := range t.groups {
		if now == nil {
			now = g.rule
		}
	}
	t.rule.Store(now)
	users := slices.Clone(t.users)
	if first {
		if t.unread--; t.unread == 0 {
			close(t.read)
		}
	}
	t.mu.Unlock()
	if now == before {
		return
	}
	for _, changed := range users {
		(*changed)()
	}
}
