// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports hands out free ports of 127.0.0.1, each once. It stays below the range
// from which systems take the ports of outgoing connections: an instance that is
// restarted must find its own port free although others dial all the time.
// The zero value is ready. It is safe for concurrent use.
type Ports struct {
	mu   sync.Mutex
	used map[int]bool
}

// The range that is drawn from.
const lowPort, highPort = 12000, 30000

// Next returns a port on which nobody listens, neither on loopback nor on all addresses.
func (p *Ports) Next() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used == nil {
		p.used = map[int]bool{}
	}
	for range 1000 {
		port := lowPort + rand.IntN(highPort-lowPort)
		if !p.used[port] && free("127.0.0.1", port) && free("", port) {
			p.used[port] = true
			return port, nil
		}
	}
	return 0, fmt.Errorf("fleet: no free port from %d to %d after 1000 draws", lowPort, highPort)
}

func free(host string, port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}
