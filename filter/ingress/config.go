// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"github.com/graylane/graylane/filter/tag"
)

// Limits of a configuration.
const (
	MaxRules     = 256   // headers, cookies and users, each
	MaxUsers     = 10000 // ids of all user rules together
	MaxTextBytes = 256   // a name, a value, a user id
)

// Config says who gets which tag. Headers go before Cookies, those before Users;
// within a list the first match counts. The zero Config colours nothing.
type Config struct {
	Headers    []Match     // key headers. Default none.
	Cookies    []Match     // key cookies. Default none.
	Users      []UserMatch // key users; wants UserHeader or UserID. Default none.
	UserHeader string      // key user-header: the header with the user's id, set by a proxy that authenticates. Default none.
	Trusted    []string    // key trusted: addresses or prefixes ("10.0.0.0/8") of peers whose tags are believed, and go before all rules. Default none.

	// UserID finds the user's id, "" for none, from code that knows the session,
	// say; it goes before UserHeader. It is called for each request that no
	// header or cookie coloured, from many goroutines. Default none.
	UserID func(*http.Request) string
}

// Match colours requests on which the named header or cookie has the value,
// exactly. Names of headers are compared without case, all else with.
type Match struct {
	Name  string // 1 to 256 bytes, a header's or cookie's name
	Value string // 1 to 256 bytes
	Tag   string // what tag.Parse takes
}

// UserMatch colours requests of the listed users.
type UserMatch struct {
	IDs []string // key ids: at least one, 1 to 256 bytes each
	Tag string   // what tag.Parse takes
}

// fault is one thing wrong, and the key it stands under.
type fault struct {
	key string
	err error
}

// check returns every fault of c.
func (c *Config) check() []fault {
	var faults []fault
	add := func(key, format string, args ...any) {
		faults = append(faults, fault{key, fmt.Errorf(format, args...)})
	}
	text := func(key, s string) {
		if s == "" || len(s) > MaxTextBytes {
			add(key, "got %d bytes, want 1 to %d", len(s), MaxTextBytes)
		}
	}
	name := func(key, s string) {
		if text(key, s); strings.Trim(s, tokenBytes) != "" {
			add(key, "got %q, want letters, digits and !#$%%&'*+-.^_`|~", s)
		}
	}
	wantTag := func(key, s string) {
		if _, err := tag.Parse(s); err != nil {
			add(key, "%w", err)
		}
	}
	count := func(key string, n, limit int) {
		if n > limit {
			add(key, "got %d entries, want at most %d", n, limit)
		}
	}
	matches := func(key string, list []Match) {
		count(key, len(list), MaxRules)
		for i, m := range list {
			at := fmt.Sprintf("%s[%d].", key, i)
			name(at+"name", m.Name)
			text(at+"value", m.Value)
			wantTag(at+"tag", m.Tag)
		}
	}
	matches("headers", c.Headers)
	matches("cookies", c.Cookies)
	count("users", len(c.Users), MaxRules)
	ids := 0
	for i, u := range c.Users {
		at := fmt.Sprintf("users[%d].", i)
		if len(u.IDs) == 0 {
			add(at+"ids", "got none, want at least one")
		}
		for j, id := range u.IDs {
			text(fmt.Sprintf("%sids[%d]", at, j), id)
		}
		ids += len(u.IDs)
		wantTag(at+"tag", u.Tag)
	}
	count("users", ids, MaxUsers)
	if len(c.Users) > 0 && c.UserHeader == "" && c.UserID == nil {
		add("user-header", "got none, want the header that holds the user's id, as there are users")
	}
	if c.UserHeader != "" {
		name("user-header", c.UserHeader)
	}
	for i, s := range c.Trusted {
		if _, err := prefix(s); err != nil {
			add(fmt.Sprintf("trusted[%d]", i), "got %q, want an address or a prefix such as 10.0.0.0/8", s)
		}
	}
	return faults
}

// tokenBytes are the bytes of a header's or cookie's name (RFC 9110, token).
const tokenBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"

// prefix reads an address or a prefix; IPv4 in IPv6 form is IPv4.
func prefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// join makes one error of faults, one line each, in their order.
func join(faults []fault, at func(key string) string) error {
	errs := make([]error, 0, len(faults))
	for _, f := range faults {
		errs = append(errs, fmt.Errorf("%s: %w", at(f.key), f.err))
	}
	return errors.Join(errs...)
}
