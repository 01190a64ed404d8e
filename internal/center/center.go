// SPDX-License-Identifier: Apache-2.0

// Package center says how texts are followed in a config centre, so that the
// packages that bring a centre's client need not know what the texts are for.
//
// dubbo-go's own interface is not enough for that: on Nacos its listeners miss the
// first publish for seconds and a delete for ever, on ZooKeeper they ignore the
// group and end silently with the session, and none of them is there at all when
// the centre was down at the start.
package center

import (
	"context"
	"fmt"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
)

// A Source follows texts in one config centre over a connection of its own, which
// it opens with the first use and repairs by itself. Its methods are safe for
// concurrent use.
type Source interface {
	// Groups returns where rules are looked for, the first one that has a rule wins.
	Groups() []string

	// Follow calls tell with the text at group and key, "" for none, as soon as it
	// is known and after each change, until ctx ends; then it returns. Calls of one
	// Follow come one at a time. What changes faster than tell returns may be
	// skipped, the last text never. While the centre cannot be asked nothing is told.
	Follow(ctx context.Context, group, key string, tell func(text string))

	// Check asks the centre for something. It returns nil, or one line with address
	// and cause, as soon as the cause is certain, at the latest with ctx.
	Check(ctx context.Context) error

	// Close gives the connection back; no Follow may be under way.
	Close()
}

// Open makes a Source of a config centre's URL: Location "host:port[,host:port]",
// account, and the parameters that dubbo-go makes of config-center in dubbogo.yml.
// It does not connect; an error means that u is wrong.
type Open func(u *common.URL) (Source, error)

var known = struct { //nolint:gochecknoglobals // filled by init functions, as dubbo-go's extensions are
	sync.Mutex
	open map[string]Open
}{open: make(map[string]Open)}

// Register says how a centre with this protocol in dubbogo.yml is followed. The
// last registration wins.
func Register(protocol string, open Open) {
	known.Lock()
	defer known.Unlock()
	known.open[protocol] = open
}

// New makes the Source of u. ok is false if nobody has registered its protocol.
func New(u *common.URL) (s Source, ok bool, err error) {
	known.Lock()
	open := known.open[u.Protocol]
	known.Unlock()
	if open == nil {
		return nil, false, nil
	}
	if s, err = open(u); err != nil {
		return nil, true, fmt.Errorf("config-center %s: %w", u.Protocol, err)
	}
	return s, true, nil
}
