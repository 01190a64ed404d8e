// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/internal/meta"
)

// paramMatch is one condition on a parameter of an instance, Dubbo's ParamMatch
// with its StringMatch, and range, which Dubbo Java has in condition routes only. A
// parameter that is there is compared by one of exact, prefix, regex, range,
// wildcard; one that is missing or empty satisfies empty alone.
type paramMatch struct {
	key string
	stringMatch
	pattern *regexp.Regexp
	span    span
}

// stringMatch is the texts of a condition, "" for those that are not set.
type stringMatch struct {
	exact, prefix, regex, span, wildcard, empty, noempty string
}

// newParamMatch checks a condition. Its error says what is wrong, not where.
func newParamMatch(key string, s stringMatch) (paramMatch, error) {
	m := paramMatch{key: key, stringMatch: s}
	var of []string
	for _, f := range [...]struct{ name, value string }{
		{"exact", s.exact}, {"prefix", s.prefix}, {"regex", s.regex}, {"range", s.span}, {"wildcard", s.wildcard},
	} {
		if f.value != "" {
			of = append(of, f.name)
		}
	}
	switch {
	case len(of) > 1:
		return m, fmt.Errorf("got %s, want one of them", strings.Join(of, " and "))
	case len(of) == 0 && s.empty == "" && s.noempty == "":
		return m, errors.New("want one of exact, prefix, regex, range, wildcard, empty, noempty")
	case s.empty != "" && s.noempty != "":
		return m, errors.New("got empty and noempty, want one of them")
	case strings.EqualFold(s.empty, "false") || strings.EqualFold(s.noempty, "false"):
		return m, errors.New(`empty and noempty: want "true", or leave it out (Dubbo Java takes any value for true)`)
	case s.wildcard != "*" && strings.Contains(s.wildcard, "*"):
		return m, fmt.Errorf("wildcard: got %q, want * alone or a whole value", clip(s.wildcard))
	}
	if s.regex != "" {
		if _, err := regexp.Compile(s.regex); err != nil {
			return m, fmt.Errorf("regex: %w", err)
		}
		re, err := regexp.Compile(`\A(?:` + s.regex + `)\z`) // the whole value, as Java's matches
		if err != nil {
			return m, fmt.Errorf("regex: %w", err)
		}
		m.pattern = re
	}
	if s.span != "" {
		var err error
		if m.span, err = parseSpan(s.span); err != nil {
			return m, fmt.Errorf("range: %w", err)
		}
	}
	return m, nil
}

// matches reports whether an instance with this value of the parameter satisfies
// the condition, "" for none.
func (m *paramMatch) matches(value string) bool {
	if value != "" {
		switch {
		case m.exact != "":
			return value == m.exact
		case m.prefix != "":
			return strings.HasPrefix(value, m.prefix)
		case m.pattern != nil:
			return m.pattern.MatchString(value)
		case m.stringMatch.span != "":
			return m.span.holds(value)
		case m.wildcard != "":
			return m.wildcard == "*" || value == m.wildcard
		}
	}
	if m.empty != "" {
		return value == ""
	}
	return m.noempty != "" && value != ""
}

// params are the parameters of one instance.
type params struct {
	own  *common.URL
	more map[string]string
}

// paramsOf returns what the provider said of itself. dubbo-go merges the
// reference's parameters into the URL of an invoker, so that a reference with
// params {env: gray} would make every provider look gray: Graylane's directory
// keeps the provider's own URL beside it.
func paramsOf(u *common.URL) params {
	if u == nil {
		return params{}
	}
	p := params{own: u}
	if v, ok := u.GetAttribute(meta.Provider); ok {
		if own, ok := v.(*common.URL); ok {
			p.own = own
		}
	}
	if v, ok := p.own.GetAttribute(meta.Instance); ok {
		p.more, _ = v.(map[string]string)
	}
	return p
}

// get returns a parameter of the service, else of the instance's metadata.
func (p params) get(key string) string {
	if p.own == nil {
		return ""
	}
	if v := p.own.GetParam(key, ""); v != "" {
		return v
	}
	return p.more[key]
}
