// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portFile, in a server's folder, holds the HTTP port that the data belongs to.
const portFile = "port"

// Below 32768 the kernel hands out no port to anybody who asks for "any", and from 20000
// on are those that tests give out, see internal/testkit/ports.
const (
	minPort = 12000
	maxPort = 18900
)

// offsets of the ports that one server binds, from its HTTP port.
func offsets() [4]int { return [...]int{0, 1000, 1001, -1000} }

// portFor returns the HTTP port of the server in dir: the one kept there
// (kept is true), or a new free one, which it keeps.
func portFor(dir string) (port int, kept bool, err error) {
	path := filepath.Join(dir, portFile)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		port, err = strconv.Atoi(strings.TrimSpace(string(raw)))
		if err != nil {
			return 0, true, fmt.Errorf("nacos: %s: got %q, want a port", path, raw)
		}
		if o, err := taken(port); err != nil {
			return 0, true, fmt.Errorf("nacos: port %d of the server in %s: %w", port+o, dir, err)
		}
		return port, true, nil
	case !errors.Is(err, os.ErrNotExist):
		return 0, false, fmt.Errorf("nacos: %w", err)
	}
	port, err = freePort()
	if err != nil {
		return 0, false, err
	}
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return 0, false, fmt.Errorf("nacos: %w", err)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(port)+"\n"), 0o600); err != nil {
		return 0, false, fmt.Errorf("nacos: %w", err)
	}
	return port, false, nil
}

// freePort finds a port whose whole set is free now.
func freePort() (int, error) {
	var last error
	for range 200 {
		port := minPort + rand.IntN(maxPort-minPort)
		_, err := taken(port)
		if err == nil {
			return port, nil
		}
		last = err
	}
	return 0, fmt.Errorf("nacos: no free set of ports between %d and %d: %w", minPort, maxPort, last)
}

// taken reports the first port of the set that cannot be bound, by its offset.
// It binds every address, as three of the four servers will.
func taken(port int) (offset int, err error) {
	for _, o := range offsets() {
		l, err := net.Listen("tcp", ":"+strconv.Itoa(port+o))
		if err != nil {
			return o, err
		}
		if err := l.Close(); err != nil {
			return o, err
		}
	}
	return 0, nil
}
