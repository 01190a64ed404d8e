// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"io"
	"net"
	"sync"
)

// front passes TCP connections on to etcd. It exists to cut them: etcd itself waits
// more than five seconds for open watches before it stops, a killed one does not.
type front struct {
	listener net.Listener
	backend  string
	wg       sync.WaitGroup

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func newFront(l net.Listener, backend string) *front {
	f := &front{listener: l, backend: backend, conns: make(map[net.Conn]struct{})}
	f.wg.Go(f.accept)
	return f
}

func (f *front) accept() {
	for {
		client, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.pass(client) })
	}
}

func (f *front) pass(client net.Conn) {
	defer f.drop(client)
	server, err := net.Dial("tcp", f.backend)
	if err != nil {
		return
	}
	defer f.drop(server)
	if !f.keep(client) || !f.keep(server) {
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	_, _ = io.Copy(server, client)
	_ = server.Close()
	back.Wait()
}

// keep remembers c for close; it reports false when that has happened already.
func (f *front) keep(c net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = struct{}{}
	return !f.closed
}

func (f *front) drop(c net.Conn) {
	_ = c.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}

// close cuts all connections and accepts no more.
func (f *front) close() {
	_ = f.listener.Close()
	f.mu.Lock()
	f.closed = true
	for c := range f.conns {
		_ = c.Close()
	}
	f.mu.Unlock()
	f.wg.Wait()
}
