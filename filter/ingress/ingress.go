// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/baggage"

	"github.com/graylane/graylane/filter/tag"
)

// New returns the middleware for c, or every fault of c. Later changes to c have
// no effect. It stands inside what extracts OpenTelemetry baggage, so that it
// can take a forged tag out of that too.
func New(c Config) (func(http.Handler) http.Handler, error) {
	if faults := c.check(); len(faults) > 0 {
		return nil, join(faults, func(key string) string { return "ingress: " + key })
	}
	g := &ingress{headers: rules(c.Headers), cookies: rules(c.Cookies), users: map[string]tag.Tag{}, userHeader: c.UserHeader, userID: c.UserID}
	for _, u := range c.Users {
		for _, id := range u.IDs {
			if _, ok := g.users[id]; !ok {
				g.users[id] = tag.Tag(u.Tag)
			}
		}
	}
	for _, s := range c.Trusted {
		p, err := prefix(s)
		if err != nil {
			return nil, fmt.Errorf("ingress: trusted: %w", err)
		}
		g.trusted = append(g.trusted, p)
	}
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(w, g.colour(r)) })
	}, nil
}

// LanePath returns the way of the calls made with ctx so far, behind the
// caller's own name: "gateway > user(gray) > order(gray)".
func LanePath(ctx context.Context, self string) string {
	if s := tag.PathFrom(ctx).String(); s != "" {
		return self + " > " + s
	}
	return self
}

// ingress is a checked Config, ready for lookups. It does not change.
type ingress struct {
	headers, cookies []rule
	users            map[string]tag.Tag
	userHeader       string
	userID           func(*http.Request) string
	trusted          []netip.Prefix
}

type rule struct {
	name, value string
	tag         tag.Tag
}

func rules(list []Match) []rule {
	out := make([]rule, len(list))
	for i, m := range list {
		out[i] = rule{m.Name, m.Value, tag.Tag(m.Tag)}
	}
	return out
}

// colour returns the request that the handler gets. It leaves r as it is.
func (g *ingress) colour(r *http.Request) *http.Request {
	var t tag.Tag
	trusted := g.trusts(r.RemoteAddr)
	if trusted {
		t = tag.FromWire(func(key string) (any, bool) {
			v := r.Header.Values(key)
			return v, len(v) > 0
		})
	}
	if t == "" {
		t = g.match(r)
	}
	ctx := withBaggage(tag.NewContext(r.Context(), t), t)
	ctx, _ = tag.WithPath(ctx)
	out := r.WithContext(ctx)
	if !trusted {
		out.Header = strip(r.Header)
	}
	return out
}

func (g *ingress) match(r *http.Request) tag.Tag {
	for _, m := range g.headers {
		if slices.Contains(r.Header.Values(m.name), m.value) {
			return m.tag
		}
	}
	if len(g.cookies) > 0 {
		cookies := r.Cookies()
		for _, m := range g.cookies {
			for _, c := range cookies {
				if c.Name == m.name && c.Value == m.value {
					return m.tag
				}
			}
		}
	}
	if len(g.users) == 0 {
		return ""
	}
	id := ""
	if g.userID != nil {
		id = g.userID(r)
	}
	if id == "" && g.userHeader != "" {
		id = r.Header.Get(g.userHeader)
	}
	if id == "" {
		return ""
	}
	return g.users[id]
}

func (g *ingress) trusts(remote string) bool {
	if len(g.trusted) == 0 {
		return false
	}
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	a := ap.Addr().Unmap().WithZone("")
	for _, p := range g.trusted {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// strip returns h without what only an ingress or a service may say; h itself
// if there is nothing of that.
func strip(h http.Header) http.Header {
	dirty := false
	for key, values := range h {
		dirty = dirty || forged(key) || strings.EqualFold(key, tag.Baggage) && len(values) > 0
	}
	if !dirty {
		return h
	}
	out := make(http.Header, len(h))
	for key, values := range h {
		switch {
		case forged(key):
		case strings.EqualFold(key, tag.Baggage):
			for _, v := range values {
				if kept := tag.MergeBaggage(v, ""); kept != "" {
					out[key] = append(out[key], kept)
				}
			}
		default:
			out[key] = values
		}
	}
	return out
}

func forged(key string) bool {
	const own = "graylane-"
	return strings.EqualFold(key, tag.KeyTag) || strings.EqualFold(key, tag.KeyForce) ||
		len(key) >= len(own) && strings.EqualFold(key[:len(own)], own)
}

// withBaggage makes the OpenTelemetry baggage of ctx say t too, so that plain
// instrumentation carries it.
func withBaggage(ctx context.Context, t tag.Tag) context.Context {
	b := baggage.FromContext(ctx)
	if t == "" {
		if b.Member(tag.BaggageMember).Key() == "" {
			return ctx
		}
		return baggage.ContextWithBaggage(ctx, b.DeleteMember(tag.BaggageMember))
	}
	m, err := baggage.NewMemberRaw(tag.BaggageMember, t.String())
	if err != nil {
		return ctx // cannot happen: every tag is a valid value
	}
	if b, err = b.SetMember(m); err != nil {
		return ctx // the peer filled the baggage up to its limit; the tag goes without
	}
	return baggage.ContextWithBaggage(ctx, b)
}
