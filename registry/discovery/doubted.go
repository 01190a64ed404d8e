// SPDX-License-Identifier: Apache-2.0

package discovery

// inquire asks a provider that the held list lacks whether it leaves. Over Triple it says
// so by itself; over dubbo by the answers to calls, and it may get none: the last provider
// of a service would stay listed for as long as the list is held. d.mu is held.
func (s *source) inquire(p *provider) {
	s.d.question(p, func(answered bool) {
		if answered || !refuses(p.instance.Address) {
			return
		}
		s.d.mu.Lock()
		defer s.d.mu.Unlock()
		if l := p.by(s); l != nil && l.doubted { // it was not named meanwhile
			l.ended = true
		}
	})
}

// undoubt drops those that the held list lacks and that leave or have ended, for then
// there is no doubt. It reports whether there were any. d.mu is held.
func (s *source) undoubt() (changed bool) {
	doubted := false
	for id, p := range s.named {
		l := p.by(s)
		if !l.doubted {
			continue
		}
		if p.instance.Closing() || l.ended {
			s.drop(id)
			changed = true
			continue
		}
		doubted = true
	}
	if !doubted {
		s.unhold()
	}
	return changed
}
