// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"errors"
	"net"
	"syscall"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// A provider that left is looked for after so long, and again after twice as long each
// time: those that hear of a leave at the same moment must not storm it.
const firstLook = 2 * time.Second

// lookTimeout bounds one look, looks those under way at once.
const (
	lookTimeout = time.Second
	looks       = 64
)

var looking = make(chan struct{}, looks) //nolint:gochecknoglobals // a bound of the process

// look finds out, off the lock, whether a provider that left over the dubbo protocol is
// gone: then it is over before lingerTime is. To an address where nobody listens any more getty
// connects again and again, each of the 16 connections of an endpoint twice a second,
// and holds what is left of the old ones meanwhile. Only a host that says that nobody
// listens is believed. Looks that do not fit come a second later. d.mu is held.
func (d *Directory) look(p *provider) {
	if p.vanished || p.endpoint == nil || p.id.kind.protocol != constant.DubboProtocol || time.Since(p.left) < firstLook<<p.looks {
		return
	}
	select {
	case looking <- struct{}{}:
	default:
		return
	}
	p.looks++
	left, address := p.left, p.instance.Address
	go func() {
		defer func() { <-looking }()
		if !refuses(address) {
			return
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if p.left.Equal(left) { // it has not come back meanwhile
			p.vanished = true
		}
	}()
}

// refuses reports that the host of an address says that nobody listens there.
func refuses(address string) bool {
	conn, err := net.DialTimeout("tcp", address, lookTimeout)
	if err == nil {
		_ = conn.Close() // it was a question
		return false
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}
