// SPDX-License-Identifier: Apache-2.0

package override

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// faults are those of one text.
type faults struct {
	text string
	root *yaml.Node // of the text, made for the first fault
	all  []string
}

// add notes a fault of item n, or of the text's head with -1, with the line of the key
// that the path leads to, or of the last one on the way that is there.
func (f *faults) add(err error, n int, path ...string) {
	if f.root == nil {
		f.root = new(yaml.Node)
		_ = yaml.Unmarshal([]byte(f.text), f.root) // it has been read before
	}
	at, line := f.root, 0
	if len(at.Content) > 0 { // a document's
		at = at.Content[0]
	}
	if n >= 0 {
		if at, _ = under(at, "configs"); at != nil && n < len(at.Content) {
			at = at.Content[n]
			line = at.Line
		}
		err = fmt.Errorf("configs[%d].%w", n, err)
	}
	for _, key := range path {
		found := 0
		if at, found = under(at, key); found > 0 {
			line = found
		}
	}
	if line > 0 {
		err = fmt.Errorf("line %d: %w", line, err)
	}
	f.all = append(f.all, err.Error())
}

// under returns what a map has under a key, and the key's line.
func under(at *yaml.Node, key string) (value *yaml.Node, line int) {
	if at != nil && at.Kind == yaml.AliasNode {
		at = at.Alias
	}
	if at == nil || at.Kind != yaml.MappingNode {
		return nil, 0
	}
	for n := 0; n+1 < len(at.Content); n += 2 {
		if at.Content[n].Value == key {
			return at.Content[n+1], at.Content[n].Line
		}
	}
	return nil, 0
}

func (f *faults) err() error {
	if len(f.all) == 0 {
		return nil
	}
	return errors.New(strings.Join(f.all, "; "))
}

var (
	unknownKey = regexp.MustCompile(`field (.*) not found in type \S+$`)
	wrongKind  = regexp.MustCompile("cannot unmarshal (!!\\S+)(?: `((?s).*)`)? into (\\S+)$")
)

// kinds are the names that people have for those of YAML, and for our types.
var kinds = map[string]string{ //nolint:gochecknoglobals // a constant
	"!!map": "a map", "!!seq": "a list", "!!str": "a text", "!!int": "a number", "!!float": "a number", "!!bool": "true or false", "!!null": "nothing",
	"bool": "true or false", "string": "a text", "map[string]string": "a map of texts", "[]string": "a list of texts",
	"override.text": "a rule with configs", "[]override.item": "a list of items",
}

// plainly says an error of yaml's about a value of the wrong kind in the user's terms.
func plainly(text string) string {
	if m := unknownKey.FindStringSubmatchIndex(text); m != nil {
		return text[:m[0]] + fmt.Sprintf("unknown key %q", text[m[2]:m[3]])
	}
	m := wrongKind.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	got, want := kinds[m[1]], kinds[m[3]]
	if m[2] != "" {
		got = fmt.Sprintf("%q", m[2])
	}
	switch {
	case want != "":
	case strings.HasPrefix(m[3], "[]"):
		want = "a list"
	default:
		want = "a map of its settings"
	}
	return strings.TrimSuffix(text, m[0]) + "got " + got + ", want " + want
}
