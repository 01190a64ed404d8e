// SPDX-License-Identifier: Apache-2.0

package tag_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"

	"github.com/graylane/graylane/filter/tag"
)

// valid and invalid are the table of Parse, and seeds of the fuzz tests.
var (
	valid = []string{
		"gray", "a", "A-b_c.9", "a|b|c", "1", ".", "|a"[1:],
		strings.Repeat("x", tag.MaxBytes),
		strings.Repeat("a|", tag.MaxLevels-1) + "a",
	}
	invalid = []string{
		"", " ", " gray", "gray ", "gr ay", "a=b;c", "a,b", "\x00", "grün", "灰", "a\r\nb", "a%7Cb",
		"|", "|a", "a|", "a||b",
		strings.Repeat("x", tag.MaxBytes+1),
		strings.Repeat("a|", tag.MaxLevels) + "a",
		strings.Repeat("|", tag.MaxBytes),
	}
)

func TestParse(t *testing.T) {
	for _, s := range valid {
		if got, err := tag.Parse(s); err != nil || got.String() != s {
			t.Errorf("Parse(%q) = %q, %v, want it unchanged", s, got, err)
		}
	}
	for _, s := range invalid {
		if got, err := tag.Parse(s); !errors.Is(err, tag.ErrInvalid) || got != "" {
			t.Errorf("Parse(%q) = %q, %v, want none, ErrInvalid", s, got, err)
		}
	}
}

func TestParent(t *testing.T) {
	for in, want := range map[tag.Tag]tag.Tag{"a|b|c": "a|b", "a|b": "a", "a": "", "": ""} {
		if got := in.Parent(); got != want {
			t.Errorf("%q.Parent() = %q, want %q", in, got, want)
		}
	}
}

func TestContext(t *testing.T) {
	none := context.Background()
	gray := tag.NewContext(none, "gray")
	bag := baggage.ContextWithBaggage(none, member(t, "dubbo.tag", "blue"))
	cancelled, cancel := context.WithCancel(gray)
	cancel()
	for name, tc := range map[string]struct {
		ctx  context.Context
		want tag.Tag
	}{
		"none":                      {none, ""},
		"set":                       {gray, "gray"},
		"set again":                 {tag.NewContext(gray, "a|b"), "a|b"},
		"taken away":                {tag.NewContext(gray, ""), ""},
		"cancelled":                 {cancelled, "gray"},
		"kept by a goroutine":       {context.WithoutCancel(cancelled), "gray"},
		"baggage":                   {bag, "blue"},
		"value before baggage":      {tag.NewContext(bag, "gray"), "gray"},
		"none hides baggage":        {tag.NewContext(bag, ""), ""},
		"other baggage":             {baggage.ContextWithBaggage(none, member(t, "user", "7")), ""},
		"hostile baggage is no tag": {baggage.ContextWithBaggage(none, member(t, "dubbo.tag", "a b")), ""},
	} {
		if got := tag.FromContext(tc.ctx); got != tc.want {
			t.Errorf("%s: FromContext = %q, want %q", name, got, tc.want)
		}
	}
}

// TestContextTakesTagsOnly: what Parse refuses is none in a context too, is counted,
// and hides the parent's tag rather than let the call run in a lane nobody asked for.
func TestContextTakesTagsOnly(t *testing.T) {
	gray := tag.NewContext(context.Background(), "gray")
	for _, s := range append([]string{"a\r\nx-admin: 1", strings.Repeat("x", 100<<10)}, invalid[1:]...) { // the first is "", which is none by itself
		before, _ := tag.Stats()
		if got := tag.FromContext(tag.NewContext(gray, tag.Tag(s))); got != "" {
			t.Errorf("FromContext after NewContext(%.20q) = %.20q, want none", s, got)
		}
		if after, _ := tag.Stats(); after != before+1 {
			t.Errorf("NewContext(%.20q) counted %d, want 1", s, after-before)
		}
	}
	before, _ := tag.Stats()
	for _, s := range append([]string{""}, valid...) {
		if got := tag.FromContext(tag.NewContext(gray, tag.Tag(s))); got.String() != s {
			t.Errorf("FromContext after NewContext(%q) = %q", s, got)
		}
	}
	if after, _ := tag.Stats(); after != before {
		t.Errorf("valid tags counted %d, want 0", after-before)
	}
}

func TestKeysAreLowerCase(t *testing.T) {
	for _, k := range []string{tag.KeyTag, tag.KeyForce, tag.KeyShadow, tag.KeyCaller, tag.KeyState, tag.KeyRefused, tag.KeyPath, tag.Baggage} {
		if k != strings.ToLower(k) {
			t.Errorf("key %q is not lower case: Triple would change it", k)
		}
	}
}

func member(t testing.TB, key, value string) baggage.Baggage { //nolint:thelper // t, as in the tests that call it
	t.Helper()
	m, err := baggage.NewMemberRaw(key, value)
	if err != nil {
		t.Fatal(err)
	}
	b, err := baggage.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzParse(f *testing.F) {
	for _, s := range slices.Concat(valid, invalid) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		got, err := tag.Parse(in)
		if err != nil {
			if got != "" || !errors.Is(err, tag.ErrInvalid) {
				t.Errorf("Parse(%q) = %q, %v", in, got, err)
			}
			return
		}
		if back, err := tag.Parse(got.String()); err != nil || back != got || got.String() != in {
			t.Errorf("round trip of %q = %q, %v", in, back, err)
		}
		levels := 0
		for p := got; p != ""; p = p.Parent() { // every parent is a tag, and they end
			if _, err := tag.Parse(p.String()); err != nil {
				t.Errorf("parent %q of %q: %v", p, in, err)
			}
			levels++
		}
		if levels != strings.Count(in, "|")+1 || levels > tag.MaxLevels || len(in) > tag.MaxBytes {
			t.Errorf("%q has %d levels, %d bytes", in, levels, len(in))
		}
	})
}

// otherKey is a context key of somebody else.
type otherKey struct{}

func TestNoAllocations(t *testing.T) {
	ctx := context.WithValue(tag.NewContext(context.Background(), "gray"), otherKey{}, 1)
	wire := map[string]any{"dubbo.tag": []string{"gray"}, "graylane-tag": "gray", "baggage": "user=7,dubbo.tag=gray"}
	get := func(key string) (any, bool) { v, ok := wire[key]; return v, ok }
	for name, f := range map[string]func(){
		"Parse":                    func() { _, _ = tag.Parse("a|b") },
		"FromContext":              func() { _ = tag.FromContext(ctx) },
		"FromContext without":      func() { _ = tag.FromContext(context.Background()) },
		"FromWire":                 func() { _ = tag.FromWire(get) },
		"PathFrom, none asked for": func() { _ = tag.PathFrom(ctx) },
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times, want 0", name, n)
		}
	}
}
