// SPDX-License-Identifier: Apache-2.0

// Package ports gives tests ports of the loopback interface.
//
// A port that the kernel chose for a listener, which then closed, is one that the kernel
// may choose next for anybody, connections that go out among them. Those given out here
// are below all that it chooses from, and each process takes them from blocks that it has
// for itself: nobody else of these tests gets a port between the moment it is given out
// and the moment it is bound, or while a process that had it is started again.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// The blocks: from 20000 to 29999, while Linux gives connections ports from 32768 on,
// other systems higher ones, and the rig of Nacos keeps below.
const (
	lowest = 20000
	blocks = 200
	size   = 50
)

// giver gives out ports of its blocks. A block is its own as long as it listens on the
// first port of it, which it does until the process ends.
type giver struct {
	mu   sync.Mutex
	held []net.Listener
	next int // of the latest block
	left int // how many from next on were not given out yet
}

// process is the giver of this process.
var process giver //nolint:gochecknoglobals // a process has one

// Free returns a port that nobody listens on now and that it has not returned before in
// this process. Safe for concurrent use. It panics when there is no block left.
func Free() int { return process.free() }

func (g *giver) free() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		if g.left == 0 {
			g.claim()
		}
		port := g.next
		g.next, g.left = g.next+1, g.left-1
		if l, err := listen(port); err == nil {
			_ = l.Close() // it was never used
			return port
		}
	}
}

// claim takes another block.
func (g *giver) claim() {
	err := errors.New("none was tried")
	for _, n := range rand.Perm(blocks) {
		var l net.Listener
		if l, err = listen(lowest + n*size); err == nil {
			g.held = append(g.held, l)
			g.next, g.left = lowest+n*size+1, size-1
			return
		}
	}
	panic(fmt.Sprintf("ports: all blocks from %d to %d are taken: %v", lowest, lowest+blocks*size-1, err))
}

func listen(port int) (net.Listener, error) { return net.Listen("tcp", at(port)) }

func at(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Dead returns an address, 127.0.0.1 and a port, where nobody listens.
func Dead() string { return at(Free()) }

// Await waits until somebody takes connections at a TCP address, at most for within,
// above 0: that a listener is there can only be tried.
func Await(address string, within time.Duration) error {
	var last error
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		left := time.Until(end)
		if left <= 0 {
			return fmt.Errorf("ports: nobody listens within %v: %w", within, last)
		}
		conn, err := net.DialTimeout("tcp", address, left)
		if err == nil {
			return conn.Close()
		}
		last = err
	}
}
