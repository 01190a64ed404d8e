// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// holding is what a long-lived process held after each event.
type holding struct {
	process *process
	samples []sample
	astray  map[connection]time.Time // connections of no use, and when they were first seen
}

// Bounds of a soak; docs/soak.md says why.
const (
	astrayFor = 90 * time.Second // a connection may lead to nobody, or be closed by the other side, for so long
	pooled    = 16               // connections that dubbo-go's dubbo client makes to each endpoint, one by one
	workers   = 200              // goroutines that getty keeps for packets: as many as it ever had at once
)

// series are the figures that must be flat. What comes with a connection, a descriptor
// and a goroutine, is left out: connections are judged by themselves, and how many a
// pool has made depends on how old its endpoint is. So are getty's workers, which have
// a bound and stay: a machine that stood still for a moment has more of them.
func (h *holding) series() []series {
	name := h.process.spec.Name + " "
	list := []series{
		{name: name + "goroutines beside connections", leak: 1, noise: 12},
		{name: name + "heap", unit: "KiB", leak: 16, noise: 1 << 10},
		{name: name + "private memory", unit: "KiB", leak: 64, noise: 8 << 10},
		{name: name + "descriptors beside connections", leak: 1, noise: 2},
	}
	for _, s := range h.samples {
		for n, v := range []int64{int64(s.Goroutines - s.Workers - len(s.Connections)), s.Heap >> 10, s.Private >> 10, int64(s.Descriptors - len(s.Connections))} {
			list[n].values = append(list[n].values, v)
		}
	}
	return list
}

// look says what the last sample has, and what it should not have.
func (h *holding) look(s *soak) (text string, faults []string) {
	last := h.samples[len(h.samples)-1]
	_, port, _ := net.SplitHostPort(s.registry.Address())
	registry, _ := strconv.Atoi(port)
	alive := map[int]*process{}
	for _, slot := range s.slots {
		alive[slot.now.spec.Port], alive[slot.now.spec.Metadata] = slot.now, slot.now
	}
	for _, p := range s.steady {
		alive[p.spec.Port], alive[p.spec.Metadata] = p, p
	}
	counts := map[string]int{}
	astray := map[connection]time.Time{}
	stray := func(c connection) {
		astray[c] = last.At
		if since, ok := h.astray[c]; ok {
			astray[c] = since
		}
		if d := last.At.Sub(astray[c]); d > astrayFor {
			faults = append(faults, fmt.Sprintf("%s holds a connection to port %d, open: %v, where nobody is, for %.0f s", h.process.spec.Name, c.Remote, c.Open, d.Seconds()))
		}
	}
	for _, c := range last.Connections {
		p := alive[c.Remote]
		switch {
		case !c.Open:
			counts["closed"]++
			stray(c)
		case c.Local == h.process.spec.Port || c.Local == h.process.spec.Metadata:
			counts["callers"]++
		case c.Remote == registry || c.Remote == registry+1000: // Nacos: gRPC
			counts["registry"]++
		case p != nil:
			counts[p.spec.Name]++
		default:
			counts["nobody"]++
			stray(c)
		}
	}
	h.astray = astray
	if h.process.spec.Role == "consumer" {
		for _, p := range alive {
			if n, most := counts[p.spec.Name], s.mayHave(p); n > most {
				faults = append(faults, fmt.Sprintf("%s holds %d connections to %s, want at most %d", h.process.spec.Name, n, p.spec.Name, most))
			}
		}
	}
	if last.Workers > workers {
		faults = append(faults, fmt.Sprintf("%s has %d workers for packets, want at most %d", h.process.spec.Name, last.Workers, workers))
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	slices.Sort(faults)
	return fmt.Sprintf("%s: %d goroutines (%d workers), heap %d KiB, private %d KiB, %d descriptors; connections: %s",
		h.process.spec.Name, last.Goroutines, last.Workers, last.Heap>>10, last.Private>>10, last.Descriptors, strings.Join(parts, ", ")), slices.Compact(faults)
}

// mayHave is how many connections a caller may hold to p: over dubbo a full pool, and
// where another process was at the address before, what the pool to that one connected
// again; over Triple one, and those that dubbo-go cannot close, one with each endpoint at the
// address that was given up while somebody listened there. That is the one of the
// process before, and one for each event that p outlived.
func (s *soak) mayHave(p *process) int {
	steady := slices.Contains(s.steady, p)
	switch {
	case s.cell.protocol == "dubbo" && steady:
		return pooled
	case s.cell.protocol == "dubbo":
		return 2 * pooled
	case steady:
		return 1
	}
	return 2 + s.outlived[p]
}
