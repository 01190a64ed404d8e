// SPDX-License-Identifier: Apache-2.0

package ingress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"gopkg.in/yaml.v3"
)

// LoadFile reads a configuration from a YAML file; see [Load].
func LoadFile(path string) (Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("ingress: %w", err)
	}
	return Load(path, b)
}

// Load reads a configuration from YAML; file is what errors call it. An empty
// text is the zero Config. Every fault is reported, one line each, with line
// and key: an unknown key, one given twice, a wrong type, a value out of bounds.
func Load(file string, text []byte) (Config, error) {
	var c Config
	var doc yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return c, nil
	} else if err != nil {
		return c, fmt.Errorf("%s: %w", file, err)
	}
	d := decoder{lines: map[string]int{}}
	var second yaml.Node
	switch err := dec.Decode(&second); {
	case err == nil:
		d.fault("", &second, "got a second document, want one")
	case !errors.Is(err, io.EOF):
		return c, fmt.Errorf("%s: %w", file, err)
	}
	if root := doc.Content[0]; root.Tag != "!!null" {
		d.mapping("", root, map[string]func(string, *yaml.Node){
			"headers":     func(k string, n *yaml.Node) { d.matches(k, n, &c.Headers) },
			"cookies":     func(k string, n *yaml.Node) { d.matches(k, n, &c.Cookies) },
			"users":       func(k string, n *yaml.Node) { d.users(k, n, &c.Users) },
			"user-header": func(k string, n *yaml.Node) { d.text(k, n, &c.UserHeader) },
			"trusted":     func(k string, n *yaml.Node) { d.texts(k, n, &c.Trusted) },
		})
	}
	faults := d.faults
	if len(faults) == 0 {
		faults = c.check()
	}
	err := join(faults, func(key string) string {
		line := d.line(key)
		if key == "" {
			return fmt.Sprintf("%s:%d", file, line)
		}
		return fmt.Sprintf("%s:%d: %s", file, line, key)
	})
	if err != nil {
		return Config{}, err
	}
	return c, nil
}

// decoder walks YAML nodes and remembers on which line each key stands.
type decoder struct {
	lines  map[string]int
	faults []fault
}

func (d *decoder) fault(key string, n *yaml.Node, format string, args ...any) {
	d.lines[key] = n.Line
	d.faults = append(d.faults, fault{key, fmt.Errorf(format, args...)})
}

// line returns the line of key, or of the nearest key above it, from 1.
func (d *decoder) line(key string) int {
	for ; key != ""; key = parent(key) {
		if n, ok := d.lines[key]; ok {
			return n
		}
	}
	return max(d.lines[""], 1)
}

// parent shortens "users[0].ids[1]" to "users[0].ids", "users[0]", "users", "".
func parent(key string) string {
	for i := len(key) - 1; i > 0; i-- {
		if key[i] == '.' || key[i] == '[' {
			return key[:i]
		}
	}
	return ""
}

func (d *decoder) mapping(key string, n *yaml.Node, fields map[string]func(string, *yaml.Node)) {
	n = resolve(n)
	d.lines[key] = n.Line
	if n.Kind != yaml.MappingNode {
		d.fault(key, n, "got %s, want a map", kind(n))
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		at := k.Value
		if key != "" {
			at = key + "." + k.Value
		}
		field, known := fields[k.Value]
		switch {
		case !known:
			d.fault(at, k, "unknown key")
		case seen[k.Value]:
			d.fault(at, k, "given twice")
		default:
			seen[k.Value] = true
			d.lines[at] = k.Line
			field(at, n.Content[i+1])
		}
	}
}

func (d *decoder) list(key string, n *yaml.Node, each func(string, *yaml.Node)) {
	n = resolve(n)
	if n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.SequenceNode {
		d.fault(key, n, "got %s, want a list", kind(n))
		return
	}
	for i, e := range n.Content {
		at := fmt.Sprintf("%s[%d]", key, i)
		d.lines[at] = e.Line
		each(at, e)
	}
}

// text takes any scalar as it is written: the id 007 and the value true are text.
func (d *decoder) text(key string, n *yaml.Node, dst *string) {
	n = resolve(n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		d.fault(key, n, "got %s, want a text", kind(n))
		return
	}
	*dst = n.Value
}

func (d *decoder) texts(key string, n *yaml.Node, dst *[]string) {
	d.list(key, n, func(at string, n *yaml.Node) {
		var s string
		d.text(at, n, &s)
		*dst = append(*dst, s)
	})
}

func (d *decoder) matches(key string, n *yaml.Node, dst *[]Match) {
	d.list(key, n, func(at string, n *yaml.Node) {
		var m Match
		d.mapping(at, n, map[string]func(string, *yaml.Node){
			"name":  func(k string, n *yaml.Node) { d.text(k, n, &m.Name) },
			"value": func(k string, n *yaml.Node) { d.text(k, n, &m.Value) },
			"tag":   func(k string, n *yaml.Node) { d.text(k, n, &m.Tag) },
		})
		*dst = append(*dst, m)
	})
}

func (d *decoder) users(key string, n *yaml.Node, dst *[]UserMatch) {
	d.list(key, n, func(at string, n *yaml.Node) {
		var u UserMatch
		d.mapping(at, n, map[string]func(string, *yaml.Node){
			"ids": func(k string, n *yaml.Node) { d.texts(k, n, &u.IDs) },
			"tag": func(k string, n *yaml.Node) { d.text(k, n, &u.Tag) },
		})
		*dst = append(*dst, u)
	})
}

func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a map"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return fmt.Sprintf("%q", n.Value)
}
