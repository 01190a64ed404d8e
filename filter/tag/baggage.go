// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"net/url"
	"strings"
)

// maxBaggageBytes is the limit of a baggage header in the W3C recommendation.
// A longer one is not read.
const maxBaggageBytes = 8192

// memberOf finds the tag in the baggage header or headers of a call. Like
// OpenTelemetry it believes the last of several members with one name.
func memberOf(v any) (s string, ok bool) {
	switch v := v.(type) {
	case string:
		return member(v)
	case []string:
		for _, h := range v {
			if m, found := member(h); found {
				s, ok = m, true
			}
		}
	case []any:
		for _, e := range v {
			if h, isString := e.(string); isString {
				if m, found := member(h); found {
					s, ok = m, true
				}
			}
		}
	}
	return s, ok
}

// member scans one header. It does not parse the other members, as all of
// [baggage.Parse] on every call would cost more than the call's routing.
func member(header string) (value string, ok bool) {
	if len(header) > maxBaggageBytes {
		return "", false
	}
	for header != "" {
		var m string
		m, header, _ = strings.Cut(header, ",")
		key, v, isMember := strings.Cut(m, "=")
		if !isMember || trim(key) != BaggageMember {
			continue
		}
		v, _, _ = strings.Cut(v, ";") // properties
		value, ok = decode(trim(v)), true
	}
	return value, ok && value != ""
}

// decode undoes percent-encoding; what cannot be decoded stays, and is no tag.
func decode(v string) string {
	if strings.IndexByte(v, '%') < 0 {
		return v
	}
	if d, err := url.PathUnescape(v); err == nil {
		return d
	}
	return v
}

func trim(s string) string { return strings.Trim(s, " \t") }

// without returns header without the tag's members, the others untouched.
func without(header string) string {
	if !strings.Contains(header, BaggageMember) {
		return header
	}
	kept := make([]string, 0, 8)
	for m := range strings.SplitSeq(header, ",") {
		if key, _, _ := strings.Cut(m, "="); trim(key) != BaggageMember {
			kept = append(kept, m)
		}
	}
	return strings.Join(kept, ",")
}

// MergeBaggage returns a baggage header whose only member for the tag is t, or
// which has none if t is the zero Tag; the other members are left as they are.
// If t would make it longer than the 8192 bytes that W3C allows, t is left out.
func MergeBaggage(header string, t Tag) string {
	rest := without(header)
	if t == "" {
		return rest
	}
	m := BaggageMember + "=" + t.String()
	if rest == "" {
		return m
	}
	if len(m)+1+len(rest) > maxBaggageBytes {
		return rest
	}
	return m + "," + rest
}

// InBaggage returns the value of a baggage header's member for the tag, decoded
// but not checked; "" if there is none.
func InBaggage(header string) string {
	s, _ := member(header)
	return s
}
