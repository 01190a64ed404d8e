// SPDX-License-Identifier: Apache-2.0

package ingress_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/graylane/graylane/filter/ingress"
)

const example = `# who goes gray
headers:
  - {name: x-lane, value: gray, tag: gray}
  - name: x-lane
    value: deep
    tag: a|b
cookies:
  - {name: lane, value: true, tag: gray}
users:
  - {ids: [1001, "007"], tag: beta}
user-header: x-user-id
trusted: [10.0.0.0/8, "::1"]
`

func TestLoadFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ingress.yml")
	if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := ingress.LoadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := ingress.Config{
		Headers:    []ingress.Match{{Name: "x-lane", Value: "gray", Tag: "gray"}, {Name: "x-lane", Value: "deep", Tag: "a|b"}},
		Cookies:    []ingress.Match{{Name: "lane", Value: "true", Tag: "gray"}},
		Users:      []ingress.UserMatch{{IDs: []string{"1001", "007"}, Tag: "beta"}},
		UserHeader: "x-user-id",
		Trusted:    []string{"10.0.0.0/8", "::1"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("LoadFile = %+v, want %+v", got, want)
	}
	if _, err := ingress.LoadFile(file + ".gone"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), file+".gone") {
		t.Errorf("a missing file: %v", err)
	}
}

func TestLoadEmpty(t *testing.T) {
	for _, text := range []string{"", "\n", "# only words\n", "---\n", "null", "headers:\nusers: []\n"} {
		if c, err := ingress.Load("f", []byte(text)); err != nil || len(c.Headers)+len(c.Users) != 0 {
			t.Errorf("Load(%q) = %+v, %v, want nothing", text, c, err)
		}
	}
}

func TestLoadFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"header: []": {"f:1: header: unknown key"},
		"\n\nheaders:\n  - {nam: x, value: y, tag: z}": {"f:4: headers[0].nam: unknown key"},
		"headers: {a: b}":    {"f:1: headers: got a map, want a list"},
		"headers: x":         {`f:1: headers: got "x", want a list`},
		"headers:\n  - gray": {`f:2: headers[0]: got "gray", want a map`},
		"headers:\n  - {name: [x], value: y, tag: z}":            {"f:2: headers[0].name: got a list, want a text"},
		"headers:\n  - name: x\n    value:\n    tag: z":          {"f:3: headers[0].value: got nothing, want a text"},
		"headers:\n  - name: x\n    value: y":                    {"f:2: headers[0].tag: tag: invalid: length: got 0 bytes, want 1 to 128"},
		"headers:\n  - name: x\n    value: y\n    tag: a b":      {"f:4: headers[0].tag: tag: invalid: byte 1"},
		"cookies:\n  - {name: 'a;b', value: y, tag: z}":          {`f:2: cookies[0].name: got "a;b", want letters`},
		"user-header: a\nuser-header: b":                         {"f:2: user-header: given twice"},
		"users:\n  - {ids: [1], tag: z}":                         {"f:1: user-header: got none"},
		"user-header: u\nusers:\n  - ids: []\n    tag: z":        {"f:3: users[0].ids: got none, want at least one"},
		"user-header: u\nusers:\n  - ids:\n    - ''\n    tag: z": {"f:4: users[0].ids[0]: got 0 bytes, want 1 to 256"},
		"trusted:\n  - 10.0.0.0/8\n  - ten":                      {`f:3: trusted[1]: got "ten", want an address`},
		"[]":                                                     {"f:1: got a list, want a map"},
		"a: 1\nb: 2":                                             {"f:1: a: unknown key", "f:2: b: unknown key"},
		"user-header: a\n---\nuser-header: b":                    {"got a second document, want one"},
		"headers: [":                                             {"f: yaml: line 1:"},
		"x: *nobody":                                             {"f: yaml:"},
	} {
		c, err := ingress.Load("f", []byte(text))
		if err == nil {
			t.Errorf("Load(%q) = %+v, want an error", text, c)
			continue
		}
		lines := strings.Split(err.Error(), "\n")
		if len(lines) != len(want) {
			t.Errorf("Load(%q): %d faults, want %d:\n%v", text, len(lines), len(want), err)
			continue
		}
		for i := range want {
			if !strings.HasPrefix(lines[i], want[i]) && !strings.HasSuffix(lines[i], want[i]) {
				t.Errorf("Load(%q): %q, want %q", text, lines[i], want[i])
			}
		}
		if !reflect.DeepEqual(c, ingress.Config{}) {
			t.Errorf("Load(%q) = %+v beside an error, want nothing", text, c)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(example))
	for _, s := range []string{"", "a: &a [*a]", "headers: &h\n  - {name: x, value: y, tag: z}\ncookies: *h", "<<: {a: b}", "? {a: b}\n: c"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ingress.Load("f", text)
		if err != nil {
			return
		}
		if _, err := ingress.New(c); err != nil { // what loads can be used
			t.Errorf("New of %q: %v", text, err)
		}
	})
}
