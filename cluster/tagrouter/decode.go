// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"gopkg.in/yaml.v3"
)

// DecodeRule reads the tag rule of a provider application from the text in which
// Dubbo Java and dubbo-admin write it: YAML, and so also JSON. source says where
// the text comes from, for people.
//
// It is strict: a key that neither knows, a value of the wrong kind, an address or
// a pattern that cannot be read is a fault. All faults are reported together, each
// with the path of its key and its line. A text that is empty, or holds nothing
// but comments, is no rule: nil without an error.
func DecodeRule(app, source, text string) (*Rule, error) {
	b := newBuilder(app, source)
	if len(text) > MaxRuleBytes {
		b.fault("text", 0, "got %d bytes, want at most %d", len(text), MaxRuleBytes)
		return b.done()
	}
	d := decoder{builder: b}
	root, err := document(text)
	switch {
	case err != nil:
		b.fault("text", 0, "%w", err) // yaml's own errors name the line
		return b.done()
	case root == nil:
		return nil, nil //nolint:nilnil // nil is "no rule", as everywhere in this package
	}
	d.rule(root)
	return b.done()
}

// document returns the root of the text, nil if it is empty.
func document(text string) (*yaml.Node, error) {
	in := yaml.NewDecoder(strings.NewReader(withoutDirectives(text)))
	var doc, next yaml.Node
	switch err := in.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, nil //nolint:nilnil // an empty text
	case err != nil:
		return nil, err
	}
	if err := in.Decode(&next); err == nil {
		return nil, fmt.Errorf("line %d: got a second document, want one", next.Line)
	} else if !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil //nolint:nilnil // an empty text
	}
	return doc.Content[0], nil
}

// withoutDirectives blanks the lines like %YAML1.2 above the text, which Dubbo's
// examples have and yaml.v3 refuses. Lines keep their numbers.
func withoutDirectives(text string) string {
	lines := strings.SplitAfter(text, "\n")
	for n, line := range lines {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "%"):
			lines[n] = line[len(strings.TrimRight(line, "\r\n")):]
		case trimmed == "" || trimmed[0] == '#':
		case n == 0:
			return text
		default:
			return strings.Join(lines, "")
		}
	}
	return strings.Join(lines, "")
}

// decoder walks the nodes of one text.
type decoder struct {
	*builder
	unversioned bool // no configVersion
}

// entry is one pair of a mapping: its key's path and its value.
type entry struct {
	path string
	node *yaml.Node
}

// mapping returns the pairs of a node by key. Keys that are not among the known
// ones are faults; values that are null count as absent.
func (d *decoder) mapping(n *yaml.Node, path string, known ...string) map[string]entry {
	line := n.Line
	n = resolve(n)
	if n.Kind != yaml.MappingNode {
		d.fault(cmp.Or(path, "text"), line, "got %s, want keys and values", kind(n))
		return nil
	}
	out := make(map[string]entry, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := resolve(n.Content[i]), n.Content[i+1]
		at := join(path, clip(name.Value))
		if name.Kind != yaml.ScalarNode || !slices.Contains(known, name.Value) {
			d.fault(at, n.Content[i].Line, "unknown key, want one of %s", strings.Join(known, ", "))
			continue
		}
		if _, ok := out[name.Value]; ok {
			d.fault(at, n.Content[i].Line, "got this key twice")
			continue
		}
		out[name.Value] = entry{at, value}
	}
	for name, e := range out {
		if isNull(e.node) {
			delete(out, name)
		}
	}
	return out
}

// list returns the elements of a value, nil if it is absent.
func (d *decoder) list(e entry, present bool) []*yaml.Node {
	if !present {
		return nil
	}
	n := resolve(e.node)
	if n.Kind != yaml.SequenceNode {
		d.fault(e.path, e.node.Line, "got %s, want a list", kind(n))
		return nil
	}
	return n.Content
}

// text returns a scalar as it is written, "" if it is absent.
func (d *decoder) text(e entry, present bool) string {
	if !present {
		return ""
	}
	n := resolve(e.node)
	if n.Kind != yaml.ScalarNode {
		d.fault(e.path, e.node.Line, "got %s, want a text", kind(n))
		return ""
	}
	return n.Value
}

// flag reads a boolean as YAML 1.1 and so SnakeYAML do.
func (d *decoder) flag(to *bool, e entry, present bool) {
	text := d.text(e, present)
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		*to = true
	case "false", "no", "off":
		*to = false
	case "":
	default:
		d.fault(e.path, e.node.Line, "got %q, want true or false", clip(text))
	}
}

// rule reads the whole text. Beside the keys that mean something here it takes
// those that Dubbo's tools write and that have no meaning for tags.
func (d *decoder) rule(root *yaml.Node) {
	m := d.mapping(root, "", "configVersion", "scope", "key", "force", "runtime", "enabled", "valid", "priority", "dynamic", "tags",
		"apiVersion", "version", "side", "rawRule")
	get := func(key string) (entry, bool) { e, ok := m[key]; return e, ok }

	if e, ok := get("configVersion"); ok {
		d.version(e)
	} else {
		d.unversioned = true
	}
	if e, ok := get("scope"); ok {
		if s := d.text(e, ok); s != "" && s != constant.RouterScopeApplication {
			d.fault(e.path, e.node.Line, "got %q, want %q", clip(s), constant.RouterScopeApplication)
		}
	}
	var unused bool
	r := d.builder.rule
	for _, f := range [...]struct {
		key string
		to  *bool
	}{{"force", &r.force}, {"enabled", &r.enabled}, {"valid", &r.valid}, {"runtime", &unused}, {"dynamic", &unused}} {
		e, ok := get(f.key)
		d.flag(f.to, e, ok)
	}
	if e, ok := get("priority"); ok {
		text := d.text(e, ok)
		n, err := strconv.Atoi(text)
		if err != nil {
			d.fault(e.path, e.node.Line, "got %q, want a number", clip(text))
		}
		r.priority = n
	}
	for _, key := range []string{"key", "apiVersion", "version", "side", "rawRule"} {
		e, ok := get(key)
		d.text(e, ok)
	}
	e, ok := get("tags")
	for n, node := range d.list(e, ok) {
		if n == maxTags {
			d.fault(e.path, node.Line, "got more than %d, want at most as many", maxTags)
			break
		}
		d.tag(node, fmt.Sprintf("tags[%d]", n))
	}
}

func (d *decoder) version(e entry) {
	switch v := d.text(e, true); {
	case strings.HasPrefix(v, "v3.0"):
		d.builder.rule.v3 = true
	case v == "":
		d.unversioned = true
	case !strings.HasPrefix(v, "v2.7"):
		d.fault(e.path, e.node.Line, `got %q, want "v3.0" or "v2.7"`, clip(v))
	}
}

func (d *decoder) tag(n *yaml.Node, path string) {
	m := d.mapping(n, path, "name", "addresses", "match", "__generate_by_cp", "xgeneratebycp")
	if m == nil {
		return
	}
	name, ok := m["name"]
	t := ruleTag{name: d.text(name, ok)}
	e, given := m["addresses"]
	addresses := d.list(e, given)
	for i, a := range addresses {
		at := entry{fmt.Sprintf("%s[%d]", e.path, i), a}
		if resolve(a).Kind != yaml.ScalarNode {
			d.text(at, true) // says so
			continue
		}
		d.address(&t, d.text(at, true), at.path, a.Line)
	}
	e, given = m["match"]
	conditions := d.list(e, given)
	switch {
	case len(conditions) > 0 && len(addresses) > 0:
		d.fault(e.path, e.node.Line, "got match and addresses, want one of them")
	case len(conditions) > 0 && !d.builder.rule.v3 && !d.unversioned:
		d.fault(e.path, e.node.Line, "wants configVersion v3.0")
	}
	for i, c := range conditions {
		d.match(&t, c, fmt.Sprintf("%s[%d]", e.path, i))
	}
	t.everything = given && len(conditions) == 0
	line := n.Line
	if ok {
		line = name.node.Line
	}
	d.add(t, join(path, "name"), line)
}

func (d *decoder) match(t *ruleTag, n *yaml.Node, path string) {
	m := d.mapping(n, path, "key", "value")
	if m == nil {
		return
	}
	e, ok := m["key"]
	param := d.text(e, ok)
	var s stringMatch
	line := n.Line
	if e, ok := m["value"]; ok {
		line = e.node.Line
		v := d.mapping(e.node, e.path, "exact", "prefix", "regex", "range", "wildcard", "empty", "noempty")
		if v == nil {
			return
		}
		for _, f := range [...]struct {
			key string
			to  *string
		}{
			{"exact", &s.exact},
			{"prefix", &s.prefix},
			{"regex", &s.regex},
			{"range", &s.span},
			{"wildcard", &s.wildcard},
			{"empty", &s.empty},
			{"noempty", &s.noempty},
		} {
			e, ok := v[f.key]
			*f.to = d.text(e, ok)
			if ok && (f.key == "regex" || f.key == "range") {
				line = e.node.Line // the likeliest faults
			}
		}
	}
	d.condition(t, param, s, path, line)
}

// resolve follows an alias. A rule has few levels, so that aliases of aliases
// cannot multiply: elements are counted where they are read.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool {
	n = resolve(n)
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", clip(n.Value))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
