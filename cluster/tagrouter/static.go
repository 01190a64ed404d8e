// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
)

// StaticRule returns the tag rule of one entry of `routers:` in dubbogo.yml, nil
// if the entry has no tags and so belongs to another router. Its key names the
// provider application. The checks are those of [DecodeRule], without lines; the
// entry is only read.
func StaticRule(cfg *global.RouterConfig) (*Rule, error) {
	if cfg == nil || len(cfg.Tags) == 0 {
		return nil, nil //nolint:nilnil // nil is "no rule", as everywhere in this package
	}
	b := newBuilder(cfg.Key, "routers of dubbogo.yml")
	if cfg.Key == "" {
		b.fault("key", 0, "want the provider application")
	}
	if cfg.Scope != "" && cfg.Scope != constant.RouterScopeApplication {
		b.fault("scope", 0, "got %q, want %q", clip(cfg.Scope), constant.RouterScopeApplication)
	}
	b.rule.force = cfg.Force != nil && *cfg.Force
	b.rule.enabled = cfg.Enabled == nil || *cfg.Enabled
	b.rule.valid = cfg.Valid == nil || *cfg.Valid
	b.rule.priority = cfg.Priority
	b.rule.v3 = true // dubbo-go knows no version there and always looks at match
	for n := range min(len(cfg.Tags), maxTags) {
		b.static(&cfg.Tags[n], fmt.Sprintf("tags[%d]", n))
	}
	if len(cfg.Tags) > maxTags {
		b.fault("tags", 0, "got %d, want at most %d", len(cfg.Tags), maxTags)
	}
	return b.done()
}

func (b *builder) static(from *global.Tag, key string) {
	t := ruleTag{name: from.Name}
	if len(from.Addresses) > 0 && len(from.Match) > 0 {
		b.fault(key, 0, "got addresses and match, want one of them")
	}
	for n, text := range from.Addresses {
		b.address(&t, text, fmt.Sprintf("%s.addresses[%d]", key, n), 0)
	}
	for n, m := range from.Match {
		at := fmt.Sprintf("%s.match[%d]", key, n)
		if m == nil {
			b.fault(at, 0, "want a key and a value")
			continue
		}
		b.condition(&t, m.Key, stringMatch{
			exact: m.Value.Exact, prefix: m.Value.Prefix, regex: m.Value.Regex,
			wildcard: m.Value.Wildcard, empty: m.Value.Empty, noempty: m.Value.Noempty,
		}, at, 0)
	}
	b.add(t, key+".name", 0)
}

// address takes one address into a tag.
func (b *builder) address(t *ruleTag, text, key string, line int) {
	if !b.count(key, line) {
		return
	}
	if t.addresses == nil {
		t.addresses = &addressSet{}
	}
	if err := t.addresses.add(text); err != nil {
		b.fault(key, line, "got %q, %w", clip(text), err)
	}
}

// condition takes one condition into a tag.
func (b *builder) condition(t *ruleTag, param string, s stringMatch, key string, line int) {
	if !b.count(key, line) {
		return
	}
	if param == "" {
		b.fault(key+".key", line, "want the name of a parameter")
		return
	}
	m, err := newParamMatch(param, s)
	if err != nil {
		b.fault(key+".value", line, "%w", err)
		return
	}
	t.conditions = append(t.conditions, m)
}
