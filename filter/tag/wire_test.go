// SPDX-License-Identifier: Apache-2.0

package tag_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"

	"github.com/graylane/graylane/filter/tag"
)

func TestValue(t *testing.T) {
	for _, tc := range []struct {
		in   any
		want string
	}{
		{"a", "a"},
		{[]string{"a", "b"}, "a"},
		{[]any{"a", 1}, "a"},
		{"", ""},
		{[]string{}, ""},
		{[]string{""}, ""},
		{[]any{}, ""},
		{[]any{1}, ""},
		{nil, ""},
		{7, ""},
		{[]byte("a"), ""},
	} {
		if got, ok := tag.Value(tc.in); got != tc.want || ok != (tc.want != "") {
			t.Errorf("Value(%#v) = %q, %v, want %q", tc.in, got, ok, tc.want)
		}
	}
}

func TestFromWire(t *testing.T) {
	fill := func(member string) string { // up to the limit of 8192 bytes
		return strings.Repeat("x", 8191-len(member)) + "," + member
	}
	for _, tc := range []struct {
		name                string
		wire                map[string]any
		want                tag.Tag
		rejected, disagreed uint64
	}{
		{name: "nothing"},
		{name: "dubbo's own", wire: map[string]any{"dubbo.tag": "gray"}, want: "gray"},
		{name: "list of Triple", wire: map[string]any{"dubbo.tag": []string{"gray"}}, want: "gray"},
		{name: "list of hessian", wire: map[string]any{"dubbo.tag": []any{"gray"}}, want: "gray"},
		{name: "shadow", wire: map[string]any{"graylane-tag": "gray"}, want: "gray"},
		{name: "baggage", wire: map[string]any{"baggage": "user=7, dubbo.tag=a%7Cb;ttl=1 ,x=y"}, want: "a|b"},
		{name: "baggage unescaped", wire: map[string]any{"baggage": []string{"user=7", "dubbo.tag=a|b"}}, want: "a|b"},
		{name: "the last member", wire: map[string]any{"baggage": "dubbo.tag=a,dubbo.tag=b"}, want: "b"},
		{name: "all agree", wire: map[string]any{"dubbo.tag": "g", "graylane-tag": "g", "baggage": "dubbo.tag=g"}, want: "g"},
		{name: "empty is absent", wire: map[string]any{"dubbo.tag": "", "graylane-tag": []string{""}, "baggage": "dubbo.tag=g"}, want: "g"},
		{name: "dubbo.tag first", wire: map[string]any{"dubbo.tag": "a", "graylane-tag": "b", "baggage": "dubbo.tag=c"}, want: "a", disagreed: 2},
		{name: "shadow before baggage", wire: map[string]any{"graylane-tag": "b", "baggage": "dubbo.tag=c"}, want: "b", disagreed: 1},
		{name: "hostile is none", wire: map[string]any{"dubbo.tag": "a b"}, rejected: 1},
		{name: "hostile decides too", wire: map[string]any{"dubbo.tag": "a b", "graylane-tag": "gray"}, rejected: 1, disagreed: 1},
		{name: "hostile second", wire: map[string]any{"dubbo.tag": "gray", "graylane-tag": "\n"}, want: "gray", rejected: 1, disagreed: 1},
		{name: "bad escape", wire: map[string]any{"baggage": "dubbo.tag=%zz"}, rejected: 1},
		{name: "other keys", wire: map[string]any{"Dubbo.Tag": "gray", "baggage": "xdubbo.tag=1,dubbo.tagx=2,dubbo.tag"}},
		{name: "longest baggage", wire: map[string]any{"baggage": fill("dubbo.tag=g")}, want: "g"},
		{name: "too long baggage", wire: map[string]any{"baggage": "x" + fill("dubbo.tag=g")}},
		{name: "no strings", wire: map[string]any{"dubbo.tag": 1, "graylane-tag": []any{2}, "baggage": true}},
	} {
		r0, d0 := tag.Stats()
		if got := tag.FromWire(func(key string) (any, bool) { v, ok := tc.wire[key]; return v, ok }); got != tc.want {
			t.Errorf("%s: FromWire = %q, want %q", tc.name, got, tc.want)
		}
		if r, d := tag.Stats(); r-r0 != tc.rejected || d-d0 != tc.disagreed {
			t.Errorf("%s: counted %d rejected, %d disagreed, want %d, %d", tc.name, r-r0, d-d0, tc.rejected, tc.disagreed)
		}
	}
}

// TestHostileIsLoggedAtMostOnce shares the process with other tests, which may
// have used up the one line.
func TestHostileIsLoggedAtMostOnce(t *testing.T) {
	var log bytes.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	defer slog.SetDefault(old)
	huge := strings.Repeat("evil\n", 100000)
	for range 100 {
		if got := tag.Accept("dubbo.tag", huge); got != "" {
			t.Fatalf("Accept = %q, want none", got)
		}
		if got := tag.Accept("dubbo.tag", "evil\nline"); got != "" {
			t.Fatalf("Accept = %q, want none", got)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 1 || log.Len() > 1000 {
		t.Errorf("%d lines, %d bytes logged, want at most one short line", n, log.Len())
	}
}

func FuzzFromWire(f *testing.F) {
	for _, s := range append(invalid, valid...) {
		f.Add(s, s, "dubbo.tag="+s)
		f.Add("", "", "a=b;c,dubbo.tag = "+s+" ; p=1,d=%20")
	}
	f.Fuzz(func(t *testing.T, own, shadow, bag string) {
		wire := map[string]any{"dubbo.tag": own, "graylane-tag": []string{shadow}, "baggage": bag}
		got := tag.FromWire(func(key string) (any, bool) { v, ok := wire[key]; return v, ok })
		if got != "" {
			if _, err := tag.Parse(got.String()); err != nil {
				t.Errorf("FromWire gave %q: %v", got, err)
			}
		}
		// What OpenTelemetry itself reads as the member, the scan reads too.
		b, err := baggage.Parse(bag)
		if err != nil || own != "" || shadow != "" {
			return
		}
		want, err := tag.Parse(b.Member("dubbo.tag").Value())
		if err == nil && got != want {
			t.Errorf("baggage %q: FromWire = %q, OpenTelemetry reads %q", bag, got, want)
		}
	})
}
