// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"net"
	"strings"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/internal/conf"
)

// A registry that has just not answered is not waited for again: dubbo-go makes one
// reference after the other, and each would hold the start up for register.timeout.
const (
	silentFor = 30 * time.Second       // since it was last found so
	glance    = 300 * time.Millisecond // for one that may be back
)

// silences are when registries were last found not to answer, by address.
type silences struct {
	mu sync.Mutex
	at map[string]time.Time
}

var silent silences //nolint:gochecknoglobals // a registry is down for all references of the process

// registryAt names a registry in log lines.
func registryAt(u *common.URL) string {
	return u.GetParam(constant.RegistryKey, u.Protocol) + "://" + u.Location
}

// note takes how a try to follow a registry went.
func (s *silences) note(u *common.URL, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.at, registryAt(u))
		return
	}
	if s.at == nil {
		s.at = make(map[string]time.Time)
	}
	s.at[registryAt(u)] = time.Now()
}

// lately reports that a registry was found not to answer a short while ago.
func (s *silences) lately(u *common.URL) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[registryAt(u)]
	return ok && time.Since(at) < silentFor
}

// patience is how hard a registry is tried while the program waits: for register.timeout,
// and only once where the process goes on without it and another reference has just
// waited in vain. Both go on in the background.
func patience(u *common.URL, c conf.Register) (timeout time.Duration, once bool) {
	if !c.Require && silent.lately(u) {
		return min(c.Timeout, glance), true
	}
	return c.Timeout, false
}

// dial is how an address is tried.
var dial = (&net.Dialer{}).DialContext //nolint:gochecknoglobals // counted by tests only

// reach waits until one of the registry's addresses takes a connection; once: it tries
// each of them once.
func reach(u *common.URL, timeout time.Duration, once bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	var err error
	for {
		for address := range strings.SplitSeq(u.Location, ",") {
			if _, _, bad := net.SplitHostPort(address); bad != nil {
				return nil // not an address: the registry's own client knows better
			}
			var conn net.Conn
			if conn, err = dial(ctx, "tcp", address); err == nil {
				return conn.Close()
			}
		}
		if once {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(timeout / 20):
		}
	}
}
