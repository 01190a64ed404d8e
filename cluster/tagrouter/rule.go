// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/graylane/graylane/filter/tag"
)

// Rule is the tag rule of one provider application: which of its instances are in
// which lanes, whatever tag they carry themselves. It is made by [DecodeRule] or
// [StaticRule] and never changes, so that any number of references share it.
type Rule struct {
	app, source string
	force       bool
	enabled     bool
	valid       bool
	v3          bool // configVersion v3.0; see compat: java
	priority    int
	tags        []ruleTag
	index       map[string]int // of tags, by name
}

// ruleTag is one tag of a rule with what puts instances into its lane: addresses
// or conditions, or neither, and then the rule says nothing of it.
type ruleTag struct {
	name       string
	addresses  *addressSet // nil: none
	conditions []paramMatch
	everything bool // `match: []`: Dubbo Java lets all instances match
}

// Active reports that the rule is enabled, valid and names a tag. One that is not
// routes nothing: instances are in the lanes of their own tags.
func (r *Rule) Active() bool { return r != nil && r.enabled && r.valid && len(r.tags) > 0 }

// Tags returns the names of the rule's tags in the order of its text.
func (r *Rule) Tags() []string {
	names := make([]string, len(r.tags))
	for n := range r.tags {
		names[n] = r.tags[n].name
	}
	return names
}

// defines reports whether the rule says which instances are in the tag's lane.
func (r *Rule) defines(name string) bool {
	n, ok := r.index[name]
	return ok && (r.tags[n].addresses != nil || len(r.tags[n].conditions) > 0)
}

// matches reports whether the rule puts an instance into the tag's lane. As in
// Dubbo Java, of addresses one must match and of conditions all.
func (t *ruleTag) matches(c *candidate, java bool) bool {
	if t.addresses != nil {
		return t.addresses.matches(c.location())
	}
	if len(t.conditions) == 0 {
		return java && t.everything
	}
	p := c.params()
	for n := range t.conditions {
		if m := &t.conditions[n]; !m.matches(p.get(m.key)) {
			return false
		}
	}
	return true
}

// candidate is one instance before the tags of a rule. What they ask for is read
// once.
type candidate struct {
	address string
	list    members
	n       int

	located, read bool
	at            location
	of            params
}

func (c *candidate) location() *location {
	if !c.located {
		c.located, c.at = true, locate(c.address)
	}
	return &c.at
}

func (c *candidate) params() params {
	if !c.read {
		c.read, c.of = true, paramsOf(c.list.url(c.n))
	}
	return c.of
}

// Limits of a rule. Whoever can write to the config centre could otherwise fill
// the memory of every caller.
const (
	MaxRuleBytes = 1 << 20 // of a rule's text; what a ZooKeeper node holds
	maxTags      = 1024
	maxEntries   = 65536 // addresses and conditions of all tags together
	maxFaults    = 20    // that are reported
)

// builder makes a rule and collects what is wrong with it.
type builder struct {
	rule    *Rule
	faults  []error
	more    int // faults that are not reported
	entries int
}

func newBuilder(app, source string) *builder {
	return &builder{rule: &Rule{app: app, source: source, enabled: true, valid: true, index: map[string]int{}}}
}

// fault notes what is wrong at a key, and its line if there is one.
func (b *builder) fault(key string, line int, format string, args ...any) {
	if len(b.faults) == maxFaults {
		b.more++
		return
	}
	where := key
	if line > 0 {
		where = fmt.Sprintf("%s: line %d", key, line)
	}
	b.faults = append(b.faults, fmt.Errorf("tag rule of %q (%s): %s: %w", b.rule.app, b.rule.source, where, fmt.Errorf(format, args...)))
}

// count reports whether one more address or condition is within the bound.
func (b *builder) count(key string, line int) bool {
	if b.entries++; b.entries == maxEntries+1 {
		b.fault(key, line, "got more than %d addresses and conditions", maxEntries)
	}
	return b.entries <= maxEntries
}

// add takes a tag into the rule; line is that of its name.
func (b *builder) add(t ruleTag, key string, line int) {
	if _, err := tag.Parse(t.name); err != nil {
		b.fault(key, line, "%w", err)
		return
	}
	if _, ok := b.rule.index[t.name]; ok {
		b.fault(key, line, "got %q twice, want each tag once", t.name)
		return
	}
	b.rule.index[t.name] = len(b.rule.tags)
	b.rule.tags = append(b.rule.tags, t)
}

func (b *builder) done() (*Rule, error) {
	if b.more > 0 {
		b.faults = append(b.faults, fmt.Errorf("tag rule of %q (%s): and %d more faults", b.rule.app, b.rule.source, b.more))
	}
	if err := errors.Join(b.faults...); err != nil {
		return nil, err
	}
	return b.rule, nil
}

// clip bounds a value in an error text.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
