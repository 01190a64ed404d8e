// SPDX-License-Identifier: Apache-2.0

package ingress_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"

	"github.com/graylane/graylane/filter/ingress"
	"github.com/graylane/graylane/filter/tag"
)

var config = ingress.Config{
	Headers:    []ingress.Match{{Name: "x-lane", Value: "gray", Tag: "gray"}, {Name: "X-Lane", Value: "deep", Tag: "a|b"}},
	Cookies:    []ingress.Match{{Name: "lane", Value: "blue", Tag: "blue"}},
	Users:      []ingress.UserMatch{{IDs: []string{"1001", "1002"}, Tag: "beta"}, {IDs: []string{"1002"}, Tag: "late"}},
	UserHeader: "X-User-Id",
	Trusted:    []string{"10.0.0.0/8", "::1"},
}

// serve sends one request through the middleware and returns what the handler got.
func serve(t *testing.T, c ingress.Config, r *http.Request) *http.Request {
	t.Helper()
	mw, err := ingress.New(c)
	if err != nil {
		t.Fatal(err)
	}
	var got *http.Request
	mw(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(httptest.NewRecorder(), r)
	return got
}

func TestColour(t *testing.T) {
	byID := config
	byID.UserID = func(r *http.Request) string { return r.URL.Query().Get("u") }
	for _, tc := range []struct {
		name   string
		config ingress.Config
		remote string // default: a stranger
		header http.Header
		url    string
		want   tag.Tag
	}{
		{name: "nothing", config: config},
		{name: "no rules", header: http.Header{"X-Lane": {"gray"}}},
		{name: "header", config: config, header: http.Header{"X-Lane": {"gray"}}, want: "gray"},
		{name: "one of two headers", config: config, header: http.Header{"X-Lane": {"?", "deep"}}, want: "a|b"},
		{name: "values are exact", config: config, header: http.Header{"X-Lane": {"Gray"}}},
		{name: "cookie", config: config, header: http.Header{"Cookie": {"a=b; lane=blue"}}, want: "blue"},
		{name: "names of cookies are exact", config: config, header: http.Header{"Cookie": {"Lane=blue"}}},
		{name: "user", config: config, header: http.Header{"X-User-Id": {"1001"}}, want: "beta"},
		{name: "the first list counts", config: config, header: http.Header{"X-User-Id": {"1002"}}, want: "beta"},
		{name: "another user", config: config, header: http.Header{"X-User-Id": {"1003"}}},
		{name: "user by code", config: byID, url: "/?u=1001", header: http.Header{"X-User-Id": {"1003"}}, want: "beta"},
		{name: "code knows nobody", config: byID, header: http.Header{"X-User-Id": {"1001"}}, want: "beta"},
		{name: "header before cookie before user", config: config, header: http.Header{"X-Lane": {"gray"}, "Cookie": {"lane=blue"}, "X-User-Id": {"1001"}}, want: "gray"},
		{name: "cookie before user", config: config, header: http.Header{"Cookie": {"lane=blue"}, "X-User-Id": {"1001"}}, want: "blue"},
		{name: "forged", config: config, header: http.Header{"Dubbo.tag": {"gray"}, "Graylane-Tag": {"gray"}, "Baggage": {"dubbo.tag=gray"}}},
		{name: "trusted", config: config, remote: "10.1.2.3:99", header: http.Header{"Dubbo.tag": {"gray"}}, want: "gray"},
		{name: "trusted, by baggage", config: config, remote: "[::ffff:10.1.2.3]:99", header: http.Header{"Baggage": {"dubbo.tag=gray"}}, want: "gray"},
		{name: "trusted, before all rules", config: config, remote: "[::1]:99", header: http.Header{"Graylane-Tag": {"x"}, "X-Lane": {"gray"}}, want: "x"},
		{name: "trusted, says nothing", config: config, remote: "10.1.2.3:99", header: http.Header{"X-Lane": {"gray"}}, want: "gray"},
		{name: "trusted, hostile", config: config, remote: "10.1.2.3:99", header: http.Header{"Dubbo.tag": {"a b"}}},
		{name: "not quite trusted", config: config, remote: "11.1.2.3:99", header: http.Header{"Dubbo.tag": {"gray"}}},
		{name: "no address", config: config, remote: "@", header: http.Header{"Dubbo.tag": {"gray"}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/"+strings.TrimPrefix(tc.url, "/"), nil)
			if tc.header != nil {
				r.Header = tc.header
			}
			if tc.remote != "" {
				r.RemoteAddr = tc.remote
			}
			got := serve(t, tc.config, r)
			ctx := got.Context()
			if tag.FromContext(ctx) != tc.want {
				t.Errorf("tag = %q, want %q", tag.FromContext(ctx), tc.want)
			}
			if v := baggage.FromContext(ctx).Member("dubbo.tag").Value(); v != tc.want.String() {
				t.Errorf("baggage says %q, want %q", v, tc.want)
			}
			if tag.PathFrom(ctx) == nil {
				t.Error("the calls of this request will not ask for their way")
			}
		})
	}
}

func TestStrips(t *testing.T) {
	send := func(remote string) (before, after http.Header) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = remote
		r.Header = http.Header{
			"Dubbo.tag": {"a"}, "Dubbo.force.tag": {"true"}, "Graylane-Tag": {"a"}, "Graylane-Path": {"1"}, "graylane-caller": {"x"},
			"Baggage": {"user=7,dubbo.tag=a", "dubbo.tag=b"}, "X-Other": {"1"},
		}
		return r.Header, serve(t, config, r).Header
	}
	before, after := send("192.0.2.1:99")
	if len(after) != 2 || after.Get("X-Other") != "1" || strings.Join(after.Values("Baggage"), ";") != "user=7" {
		t.Errorf("the handler of a stranger's request sees %v, want X-Other and user=7", after)
	}
	if len(before) != 7 || len(before["Baggage"]) != 2 {
		t.Errorf("the request itself became %v", before)
	}
	if _, after = send("10.0.0.1:99"); len(after) != 7 {
		t.Errorf("the handler of a trusted request sees %v, want all", after)
	}
}

// TestOuterBaggage: instrumentation outside has put a stranger's baggage into
// the context already.
func TestOuterBaggage(t *testing.T) {
	m, err := baggage.NewMember("dubbo.tag", "forged")
	if err != nil {
		t.Fatal(err)
	}
	u, err := baggage.NewMember("user", "7")
	if err != nil {
		t.Fatal(err)
	}
	b, err := baggage.New(m, u)
	if err != nil {
		t.Fatal(err)
	}
	for lane, want := range map[string]tag.Tag{"": "", "gray": "gray"} {
		r := httptest.NewRequest(http.MethodGet, "/", nil).WithContext(baggage.ContextWithBaggage(context.Background(), b))
		r.Header.Set("X-Lane", lane)
		ctx := serve(t, config, r).Context()
		got := baggage.FromContext(ctx)
		if tag.FromContext(ctx) != want || got.Member("dubbo.tag").Value() != want.String() || got.Member("user").Value() != "7" {
			t.Errorf("lane %q: tag %q, baggage %v, want %q and user=7", lane, tag.FromContext(ctx), got, want)
		}
	}
}

func TestLanePath(t *testing.T) {
	ctx, p := tag.WithPath(context.Background())
	if got := ingress.LanePath(ctx, "gateway"); got != "gateway" {
		t.Errorf("before any call: %q", got)
	}
	p.Add("user(gray) > cart(base: no-instance)")
	if got, want := ingress.LanePath(ctx, "gateway"), "gateway > user(gray) > cart(base: no-instance)"; got != want {
		t.Errorf("LanePath = %q, want %q", got, want)
	}
	if got := ingress.LanePath(context.Background(), "gateway"); got != "gateway" {
		t.Errorf("outside the middleware: %q", got)
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	_, err := ingress.New(ingress.Config{
		Headers: []ingress.Match{{Name: "x lane", Value: "", Tag: "a b"}},
		Users:   []ingress.UserMatch{{Tag: "gray"}},
		Trusted: []string{"10.0.0.0/33"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"ingress: headers[0].name: got \"x lane\"", "ingress: headers[0].value: got 0 bytes, want 1 to 256", "ingress: headers[0].tag: tag: invalid", "ingress: users[0].ids: got none", "ingress: user-header: got none", "ingress: trusted[0]: got \"10.0.0.0/33\""} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 6 {
		t.Errorf("%d lines, want 6:\n%v", n, err)
	}
}
