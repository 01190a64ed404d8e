// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// anyHost with a port stands for every instance on this port.
const anyHost = "0.0.0.0"

// addressSet is the addresses of one tag, so arranged that an instance is looked
// up and not compared with each: rules list thousands of instances.
//
// An expression is one of
//
//	10.0.0.1  10.0.0.1:20880  [fd00::1]:20880  fd00::1   one host, any port or one
//	0.0.0.0:20880  *  *.*.*.*                            any host
//	10.0.*.*  10.0.1-3.*:20880  fd00:0:0:0:0:0:0:1-ff    each part a number, a range or *
//	10.0.0.0/16  fd00::/8                                a network, any port
//	order-0.order  order-0.order:20880                   a name, as the instance registered it
//
// which is what Dubbo Java's NetUtils.matchIpExpression takes, and names.
type addressSet struct {
	all      bool
	hosts    map[netip.Addr]struct{}     // on any port
	sockets  map[netip.AddrPort]struct{} // on one
	ports    map[uint16]struct{}         // any host on one port
	networks []netip.Prefix
	patterns []pattern
	names    map[string]struct{} // host, or host:port
}

// pattern is an address of which each part has bounds, on one port or any (0).
type pattern struct {
	parts []bounds // 4 of IPv4, 8 of IPv6
	port  uint16
}

type bounds struct{ low, high uint16 }

// location is the address of an instance, read once for all tags of a rule.
type location struct {
	text, host string // as registered, and without the port
	at         netip.AddrPort
	ip         bool // at holds it
}

// locate reads host:port. A host that is no IP address is matched by name.
func locate(address string) location {
	if at, err := netip.ParseAddrPort(address); err == nil {
		return location{text: address, at: netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port()), ip: true}
	}
	l := location{text: address, host: address}
	if i := strings.LastIndexByte(address, ':'); i >= 0 {
		l.host = address[:i]
		if port, err := strconv.ParseUint(address[i+1:], 10, 16); err == nil {
			l.at = netip.AddrPortFrom(netip.Addr{}, uint16(port)) // so that 0.0.0.0:port finds it
		}
	}
	return l
}

func (s *addressSet) matches(l *location) bool {
	if s.all {
		return true
	}
	if _, ok := s.ports[l.at.Port()]; ok {
		return true
	}
	if !l.ip {
		_, ok := s.names[l.text]
		if !ok {
			_, ok = s.names[l.host]
		}
		return ok
	}
	if _, ok := s.sockets[l.at]; ok {
		return true
	}
	if _, ok := s.hosts[l.at.Addr()]; ok {
		return true
	}
	for _, n := range s.networks {
		if n.Contains(l.at.Addr()) {
			return true
		}
	}
	for n := range s.patterns {
		if s.patterns[n].matches(l.at) {
			return true
		}
	}
	return false
}

func (p *pattern) matches(at netip.AddrPort) bool {
	if p.port != 0 && p.port != at.Port() {
		return false
	}
	a := at.Addr()
	if a.Is4() != (len(p.parts) == 4) {
		return false
	}
	wide := a.As16()
	for n, b := range p.parts {
		part := uint16(wide[12+n%4])
		if len(p.parts) == 8 {
			part = uint16(wide[2*n])<<8 | uint16(wide[2*n+1])
		}
		if part < b.low || part > b.high {
			return false
		}
	}
	return true
}

// add reads one expression. Its error says what is wrong, not where.
func (s *addressSet) add(text string) error {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return errors.New("want an address")
	case text == "*" || text == "*.*.*.*":
		s.all = true
		return nil
	case strings.Contains(text, "/"):
		return s.addNetwork(text)
	}
	host, port, err := splitPort(text)
	if err != nil {
		return err
	}
	if strings.Contains(host, "*") || isRange(host) {
		p, err := readPattern(host)
		if err != nil {
			return err
		}
		p.port = port
		s.patterns = append(s.patterns, p)
		return nil
	}
	if a, err := netip.ParseAddr(host); err == nil {
		a = a.Unmap().WithZone("")
		switch {
		case port == 0:
			put(&s.hosts, a)
		case host == anyHost:
			put(&s.ports, port)
		default:
			put(&s.sockets, netip.AddrPortFrom(a, port))
		}
		return nil
	}
	if !isName(host) || text[0] == '[' {
		return errors.New("want an IP address, a network or the name of a host, with or without a port")
	}
	put(&s.names, text)
	return nil
}

func (s *addressSet) addNetwork(text string) error {
	host, bits, _ := strings.Cut(text, "/")
	a, err := netip.ParseAddr(host)
	if err != nil {
		return errors.New("want an IP address before the slash")
	}
	a = a.Unmap()
	n, err := strconv.Atoi(bits)
	if err != nil || n < 0 || n > a.BitLen() {
		return fmt.Errorf("want a prefix length of 0 to %d and no port", a.BitLen())
	}
	s.networks = append(s.networks, netip.PrefixFrom(a.WithZone(""), n))
	return nil
}

// splitPort takes host:port, [host]:port, [host] and host apart; port 0 is none.
func splitPort(text string) (host string, port uint16, err error) {
	host, digits, found := text, "", false
	switch {
	case strings.HasPrefix(text, "["):
		var tail string
		if host, tail, found = strings.Cut(text[1:], "]"); !found {
			return "", 0, errors.New("want a closing bracket")
		}
		if digits, found = strings.CutPrefix(tail, ":"); !found && tail != "" {
			return "", 0, errors.New("want nothing but a port behind the bracket")
		}
	case strings.Count(text, ":") == 1:
		host, digits, found = strings.Cut(text, ":")
	}
	if !found {
		return host, 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return "", 0, errors.New("want a port of 1 to 65535")
	}
	return host, uint16(n), nil
}

// isRange tells 10.0.1-3.4 from a name with a hyphen: what has a range consists
// of numbers otherwise.
func isRange(host string) bool {
	if strings.Contains(host, ":") {
		return strings.Contains(host, "-")
	}
	return strings.Contains(host, "-") && strings.Trim(host, "0123456789.-") == ""
}

// readPattern reads an address with a * or a range in it.
func readPattern(host string) (pattern, error) {
	parts, base, top := strings.Split(host, "."), 10, uint16(255)
	if strings.Contains(host, ":") {
		parts, base, top = strings.Split(host, ":"), 16, 0xffff
	}
	if want := map[int]int{10: 4, 16: 8}[base]; len(parts) != want {
		return pattern{}, fmt.Errorf("want %d parts where there is a * or a range, got %d", want, len(parts))
	}
	p := pattern{parts: make([]bounds, len(parts))}
	for n, text := range parts {
		if text == "*" {
			p.parts[n] = bounds{0, top}
			continue
		}
		low, high, isRange := strings.Cut(text, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.ParseUint(low, base, 16)
		to, err2 := strconv.ParseUint(high, base, 16)
		if err1 != nil || err2 != nil || from > to || to > uint64(top) {
			return pattern{}, fmt.Errorf("want a number, a range or * for part %q, at most %s", text, strconv.FormatUint(uint64(top), base))
		}
		p.parts[n] = bounds{uint16(from), uint16(to)}
	}
	return p, nil
}

// isName reports whether text can be the name of a host. No label may be a
// number, so that 10.0.0 and 10.0.0.x are faults and not names.
func isName(text string) bool {
	for label := range strings.SplitSeq(text, ".") {
		number := true
		for _, c := range label {
			switch {
			case '0' <= c && c <= '9':
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '-', c == '_':
				number = false
			default:
				return false
			}
		}
		if number { // or empty
			return false
		}
	}
	return true
}

func put[K comparable](m *map[K]struct{}, k K) {
	if *m == nil {
		*m = make(map[K]struct{})
	}
	(*m)[k] = struct{}{}
}
