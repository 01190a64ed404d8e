// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// read decodes YAML as dubbo-go hands it over: nested maps.
func read(t *testing.T, text string, base Config) (Config, error) {
	t.Helper()
	var m map[string]any
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return Decode(m, base)
}

// TestDefaults: the defaults of design.md, and that they and an empty map are the same.
func TestDefaults(t *testing.T) {
	want := Config{
		Mode:    "enforce",
		Routing: Routing{UntaggedFallback: "none", Compat: "graylane"},
		Register: Register{
			Require: true, Timeout: 6 * time.Second, PublishWeight: "auto",
			Check: Check{Interval: time.Second, Timeout: time.Second, Limit: time.Minute},
		},
		Warmup:    Warmup{Window: 2 * time.Minute, Curve: "linear", MinPercent: 10, MaxBoost: 1.5},
		Shutdown:  Shutdown{QuietPeriod: time.Second, Notice: 10 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second},
		Retry:     Retry{Unknown: "idempotent", BudgetPercent: 20},
		Outlier:   Outlier{BaseEjectionTime: time.Second, MaxEjectionTime: 30 * time.Second, MaxEjectionPercent: 50},
		Discovery: Discovery{EmptyProtection: 30 * time.Second},
	}
	if got := Default(); !reflect.DeepEqual(got, want) {
		t.Errorf("Default() = %+v, want %+v", got, want)
	}
	if got, err := Decode(nil, Default()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("Decode(nil) = %+v, %v; want the defaults", got, err)
	}
	if got := *Current(); !reflect.DeepEqual(got, want) {
		t.Errorf("Current() before Set = %+v, want the defaults", got)
	}
}

func TestSet(t *testing.T) {
	old := *Current()
	t.Cleanup(func() { Set(old) })
	before := Current()
	c := Default()
	c.Mode = Observe
	Set(c)
	if Current().Mode != Observe {
		t.Errorf("Current().Mode = %q after Set, want %q", Current().Mode, Observe)
	}
	if before.Mode != old.Mode {
		t.Error("Set changed the value that a caller had got before")
	}
}

// TestDecodeAll: every key, none at its default.
func TestDecodeAll(t *testing.T) {
	got, err := read(t, `
mode: observe
routing: { untagged-fallback: any, compat: java }
propagate: { keys: [x-user, x-trace] }
register:
  { delay: 3s, manual: true, require: false, timeout: 500ms, publish-weight: 250,
    check: { http: "https://shop/ready?deep=1", tcp: "127.0.0.1:6379", grpc: "[::1]:50051/com.shop.Cart", interval: 2s, timeout: 300ms, limit: 5m } }
warmup: { window: 10s, curve: 1.5, min-percent: 5, max-boost: 2 }
shutdown: { quiet-period: 2s, notice: 20s, timeout: 40s, registry-timeout: 1s }
retry: { unknown: dubbo, idempotent: [com.shop.Order/Get, com.shop.Cart/Get], budget-percent: 12.5 }
outlier: { base-ejection-time: 2s, max-ejection-time: 1m, max-ejection-percent: 30 }
discovery: { empty-protection: 0s }
`, Default())
	if err != nil {
		t.Fatal(err)
	}
	want := Config{
		Mode:      Observe,
		Routing:   Routing{UntaggedFallback: "any", Compat: "java"},
		Propagate: Propagate{Keys: []string{"x-user", "x-trace"}},
		Register: Register{
			Delay: 3 * time.Second, Manual: true, Timeout: 500 * time.Millisecond, PublishWeight: "250",
			Check: Check{
				HTTP: "https://shop/ready?deep=1", TCP: "127.0.0.1:6379", GRPC: "[::1]:50051/com.shop.Cart",
				Interval: 2 * time.Second, Timeout: 300 * time.Millisecond, Limit: 5 * time.Minute,
			},
		},
		Warmup:   Warmup{Window: 10 * time.Second, Curve: "1.5", MinPercent: 5, MaxBoost: 2},
		Shutdown: Shutdown{QuietPeriod: 2 * time.Second, Notice: 20 * time.Second, Timeout: 40 * time.Second, RegistryTimeout: time.Second},
		Retry:    Retry{Unknown: "dubbo", Idempotent: []string{"com.shop.Order/Get", "com.shop.Cart/Get"}, BudgetPercent: 12.5},
		Outlier:  Outlier{BaseEjectionTime: 2 * time.Second, MaxEjectionTime: time.Minute, MaxEjectionPercent: 30},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if w, err := got.Register.Weight(); w != 250 || err != nil {
		t.Errorf("Weight() = %d, %v; want 250", w, err)
	}
}

// TestOverBase: keys that are not named keep the value of the base, and a list
// replaces the base's instead of mixing with it.
func TestOverBase(t *testing.T) {
	base := Default()
	base.Warmup.Window = time.Hour
	base.Warmup.MaxBoost = 3
	base.Propagate.Keys = []string{"one", "two", "three"}
	got, err := read(t, "warmup: {window: 10s}\npropagate: {keys: [x]}", base)
	if err != nil {
		t.Fatal(err)
	}
	if got.Warmup.Window != 10*time.Second || got.Warmup.MaxBoost != 3 {
		t.Errorf("warmup = %+v, want window 10s and the base's max-boost 3", got.Warmup)
	}
	if !slices.Equal(got.Propagate.Keys, []string{"x"}) {
		t.Errorf("keys = %v, want [x]", got.Propagate.Keys)
	}
	if !slices.Equal(base.Propagate.Keys, []string{"one", "two", "three"}) {
		t.Errorf("the base's keys became %v", base.Propagate.Keys)
	}
}

// TestFaults: each fault by its key path below Root, its value and what is wanted.
func TestFaults(t *testing.T) {
	for _, tc := range []struct {
		text string
		key  string
		say  []string // beside the key: value and bound
	}{
		{"warmupp: {window: 1s}", "warmupp", []string{"unknown key"}},
		{"warmup: {windw: 1s}", "warmup.windw", []string{"unknown key"}},
		{"Mode: off", "Mode", []string{"unknown key"}},
		{"routing: {untaggedFallback: any}", "routing.untaggedFallback", []string{"unknown key"}},

		{"warmup: {window: 10}", "warmup.window", []string{"got 10, want", "unit", "0s to 24h0m0s"}},
		{"warmup: {window: 1.5}", "warmup.window", []string{"1.5", "unit"}},
		{`warmup: {window: "10"}`, "warmup.window", []string{`"10"`, "unit"}},
		{"discovery: {empty-protection: 0}", "discovery.empty-protection", []string{"0", "unit"}},
		{"register: {manual: maybe}", "register.manual", []string{`got "maybe", want true or false`}},
		{"register: {require: 1}", "register.require", []string{"got 1, want true or false"}},
		{"warmup: {min-percent: ten}", "warmup.min-percent", []string{`got "ten", want 0 to 100`}},
		{"retry: {idempotent: com.shop.Order/Get}", "retry.idempotent", []string{`got "com.shop.Order/Get", want a list of "interface/Method"`}},
		{"propagate: {keys: [1]}", "propagate.keys[0]", []string{"got 1, want header names"}},
		{"warmup: 5", "warmup", []string{"got 5, want a map of settings"}},
		{"mode: 1", "mode", []string{"got 1, want enforce or observe or off"}},

		{`register: {require: "true"}`, "register.require", []string{`got "true", want true or false`}},
		{`warmup: {min-percent: "10"}`, "warmup.min-percent", []string{`got "10", want 0 to 100`}},
		{"mode: [a]", "mode", []string{"got [a], want enforce or observe or off"}},
		{"warmup: {curve: [1]}", "warmup.curve", []string{"got [1], want linear, quadratic or"}},
		{"register: {publish-weight: true}", "register.publish-weight", []string{"got true, want auto or"}},
		{"register: {check: 5s}", "register.check", []string{`got "5s", want a map of settings`}},
		{"register: {check: {http: 80}}", "register.check.http", []string{"got 80, want a URL"}},
		{"register: {check: {limit: 5}}", "register.check.limit", []string{"got 5, want", "unit", "100ms to 1h0m0s"}},
		{"retry: {idempotent: [a/b, {c: d}]}", "retry.idempotent[1]", []string{"got map[c:d], want \"interface/Method\""}},

		{"mode: on-fire", "mode", []string{`"on-fire"`, "enforce or observe or off"}},
		{"routing: {untagged-fallback: some}", "routing.untagged-fallback", []string{`"some"`, "none or any"}},
		{"routing: {compat: go}", "routing.compat", []string{`"go"`, "graylane or java"}},
		{"propagate: {keys: [X-User]}", "propagate.keys", []string{`"X-User"`, "lower-case"}},
		{`propagate: {keys: [""]}`, "propagate.keys", []string{`""`, "lower-case"}},
		{`propagate: {keys: ["a b"]}`, "propagate.keys", []string{`"a b"`, "header names"}},
		{`propagate: {keys: ["a;b"]}`, "propagate.keys", []string{`"a;b"`, "header names"}},
		{`propagate: {keys: ["a:b"]}`, "propagate.keys", []string{`"a:b"`, "header names"}},
		{"propagate: {keys: [ü]}", "propagate.keys", []string{`"ü"`, "header names"}},
		{"propagate: {keys: [~]}", "propagate.keys", []string{`""`, "header names"}},
		{"propagate: {keys: [x-user, dubbo.tag]}", "propagate.keys", []string{`"dubbo.tag"`, "of your own"}},
		{"propagate: {keys: [timeout]}", "propagate.keys", []string{`"timeout"`, "of your own"}},
		{"propagate: {keys: [interface]}", "propagate.keys", []string{`"interface"`, "of your own"}},
		{"propagate: {keys: [graylane-caller]}", "propagate.keys", []string{`"graylane-caller"`, "of your own"}},
		{"propagate: {keys: [content-type]}", "propagate.keys", []string{`"content-type"`, "of your own"}},
		{"register: {delay: -1s}", "register.delay", []string{"-1s", "0s to 1h0m0s"}},
		{"register: {delay: 1h1ns}", "register.delay", []string{"1h0m0.000000001s", "0s to 1h0m0s"}},
		{"register: {timeout: 99ms}", "register.timeout", []string{"99ms", "100ms to 10m0s"}},
		{"register: {publish-weight: 0}", "register.publish-weight", []string{`"0"`, "auto or a number from 1 to 10000"}},
		{"register: {publish-weight: 10001}", "register.publish-weight", []string{`"10001"`}},
		{"register: {publish-weight: heavy}", "register.publish-weight", []string{`"heavy"`}},
		{"register: {check: {https: x}}", "register.check.https", []string{"unknown key"}},
		{"register: {check: http}", "register.check", []string{`got "http", want a map of settings`}},
		{`register: {check: {http: "127.0.0.1:80"}}`, "register.check.http", []string{`"127.0.0.1:80"`, "http://127.0.0.1:8080/ready"}},
		{`register: {check: {http: "ftp://shop/ready"}}`, "register.check.http", []string{`"ftp://shop/ready"`}},
		{`register: {check: {http: "http://"}}`, "register.check.http", []string{`"http://"`}},
		{"register: {check: {tcp: redis}}", "register.check.tcp", []string{`"redis"`, "host:port"}},
		{`register: {check: {tcp: ":6379"}}`, "register.check.tcp", []string{`":6379"`}},
		{`register: {check: {tcp: "redis:65536"}}`, "register.check.tcp", []string{`"redis:65536"`}},
		{"register: {check: {grpc: /com.shop.Cart}}", "register.check.grpc", []string{`"/com.shop.Cart"`, "host:port or host:port/service"}},
		{"register: {check: {interval: 9ms}}", "register.check.interval", []string{"9ms", "10ms to 1m0s"}},
		{"register: {check: {interval: 1}}", "register.check.interval", []string{"1", "unit"}},
		{"register: {check: {timeout: 61s}}", "register.check.timeout", []string{"1m1s", "10ms to 1m0s"}},
		{"register: {check: {limit: 0s}}", "register.check.limit", []string{"0s", "100ms to 1h0m0s"}},
		{"warmup: {window: 25h}", "warmup.window", []string{"25h0m0s", "0s to 24h0m0s"}},
		{"warmup: {curve: cubic}", "warmup.curve", []string{`"cubic"`, "linear, quadratic or a number from 0.1 to 10"}},
		{"warmup: {curve: 0}", "warmup.curve", []string{`"0"`}},
		{"warmup: {curve: 10.1}", "warmup.curve", []string{`"10.1"`}},
		{"warmup: {curve: NaN}", "warmup.curve", []string{"NaN"}},
		{"warmup: {min-percent: -0.1}", "warmup.min-percent", []string{"-0.1", "0 to 100"}},
		{"warmup: {min-percent: 100.1}", "warmup.min-percent", []string{"100.1", "0 to 100"}},
		{"warmup: {min-percent: .nan}", "warmup.min-percent", []string{"NaN", "0 to 100"}},
		{"warmup: {max-boost: 0.9}", "warmup.max-boost", []string{"0.9", "1 to 100"}},
		{"warmup: {max-boost: .inf}", "warmup.max-boost", []string{"Inf", "1 to 100"}},
		{"shutdown: {quiet-period: 61s}", "shutdown.quiet-period", []string{"1m1s", "0s to 1m0s"}},
		{"shutdown: {notice: 11m}", "shutdown.notice", []string{"11m0s", "0s to 10m0s"}},
		{"shutdown: {timeout: 0s}", "shutdown.timeout", []string{"0s", "100ms to 1h0m0s"}},
		{"shutdown: {registry-timeout: 1ms}", "shutdown.registry-timeout", []string{"1ms", "10ms to 1m0s"}},
		{"retry: {unknown: always}", "retry.unknown", []string{`"always"`, "never or idempotent or dubbo"}},
		{"retry: {idempotent: [Get]}", "retry.idempotent", []string{`"Get"`, `"interface/Method"`}},
		{"retry: {idempotent: [com.shop.Order/]}", "retry.idempotent", []string{`"com.shop.Order/"`}},
		{"retry: {idempotent: [/Get]}", "retry.idempotent", []string{`"/Get"`}},
		{"retry: {idempotent: [A/B/C]}", "retry.idempotent", []string{`"A/B/C"`, "one slash"}},
		{`retry: {idempotent: [" a/b"]}`, "retry.idempotent", []string{`" a/b"`, "no spaces"}},
		{`retry: {idempotent: ["a/b\t"]}`, "retry.idempotent", []string{`"a/b\t"`, "no spaces"}},
		{"retry: {budget-percent: 101}", "retry.budget-percent", []string{"101", "0 to 100"}},
		{"outlier: {base-ejection-time: 9ms}", "outlier.base-ejection-time", []string{"9ms", "10ms to 1h0m0s"}},
		{"outlier: {max-ejection-time: 999ms}", "outlier.max-ejection-time", []string{"999ms", "1s to 24h0m0s"}},
		{"outlier: {max-ejection-percent: 150}", "outlier.max-ejection-percent", []string{"150", "0 to 100"}},
		{"discovery: {empty-protection: 2h}", "discovery.empty-protection", []string{"2h0m0s", "0s to 1h0m0s"}},
	} {
		got, err := read(t, tc.text, Default())
		if err == nil {
			t.Errorf("%s: accepted", tc.text)
			continue
		}
		line := err.Error()
		if strings.Contains(line, "\n") {
			t.Errorf("%s: several lines for one fault: %q", tc.text, line)
		}
		head, rest, ok := strings.Cut(line, ": ")
		if !ok || head != Root+"."+tc.key {
			t.Errorf("%s: %q, want the key path %s.%s first", tc.text, line, Root, tc.key)
		}
		for _, s := range tc.say {
			if !strings.Contains(rest, s) {
				t.Errorf("%s: %q does not say %q", tc.text, line, s)
			}
		}
		if !reflect.DeepEqual(got, Default()) {
			t.Errorf("%s: a refused map changed the settings", tc.text)
		}
	}
}

// TestEdges: the bounds themselves are allowed.
func TestEdges(t *testing.T) {
	for _, text := range []string{
		"register: {delay: 0s, timeout: 100ms, publish-weight: 1}",
		"register: {delay: 1h, timeout: 10m, publish-weight: 10000}",
		`register: {publish-weight: "7"}`,
		"register: {check: {interval: 10ms, timeout: 10ms, limit: 100ms}}",
		"register: {check: {interval: 1m, timeout: 1m, limit: 1h}}",
		`register: {check: {http: "http://[::1]:1/", tcp: "localhost:65535", grpc: "h:1"}}`,
		"warmup: {window: 0s, curve: 0.1, min-percent: 0, max-boost: 1}",
		"warmup: {window: 24h, curve: 10, min-percent: 100, max-boost: 100}",
		"warmup: {curve: quadratic}",
		`warmup: {curve: "2"}`,
		"shutdown: {quiet-period: 0s, notice: 0s, timeout: 100ms, registry-timeout: 10ms}",
		"shutdown: {quiet-period: 1m, notice: 10m, timeout: 1h, registry-timeout: 1m}",
		"retry: {unknown: never, budget-percent: 0, idempotent: []}",
		"retry: {budget-percent: 100}",
		"outlier: {base-ejection-time: 10ms, max-ejection-time: 10ms, max-ejection-percent: 0}",
		"outlier: {base-ejection-time: 1h, max-ejection-time: 24h, max-ejection-percent: 100}",
		"discovery: {empty-protection: 1h}",
		"mode: off",
		"propagate: {keys: [x-user, x_tenant, dubbo.force.tag, traceparent, billing-addr, \"0!#$%&'*+.^`|~\"]}",
	} {
		if _, err := read(t, text, Default()); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestWithoutValue: a key without a value, as is left where the lines below it are
// commented out, keeps what held before, and is looked at for its name all the same.
func TestWithoutValue(t *testing.T) {
	base := Default()
	base.Propagate.Keys = []string{"x-user"}
	base.Retry.Idempotent = []string{"com.shop.Order/Get"}
	base.Register.Manual = true
	base.Register.Check.TCP = "127.0.0.1:6379"
	var paths []string
	var walk func(reflect.Type, string)
	walk = func(section reflect.Type, path string) {
		for n := range section.NumField() {
			f := section.Field(n)
			key := path + f.Tag.Get("mapstructure")
			paths = append(paths, key)
			if f.Type.Kind() == reflect.Struct {
				walk(f.Type, key+": {")
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
	for _, path := range paths {
		for _, nothing := range []string{": ", ": ~ "} {
			text := path + nothing + strings.Repeat("}", strings.Count(path, "{"))
			if got, err := read(t, text, base); err != nil || !reflect.DeepEqual(got, base) {
				t.Errorf("%s: %+v, %v; want the base", text, got, err)
			}
		}
	}
	for _, text := range []string{"warmup: {}", "register: {check: {}}", "register: {check: , require: }", "discovery:\n  # empty-protection: 10s\n"} {
		if got, err := read(t, text, base); err != nil || !reflect.DeepEqual(got, base) {
			t.Errorf("%s: %+v, %v; want the base", text, got, err)
		}
	}
	for text, key := range map[string]string{"warmupp: ": "warmupp", "warmup: {windw: }": "warmup.windw", "register: {check: {https: }}": "register.check.https"} {
		if _, err := read(t, text, base); err == nil || err.Error() != Root+"."+key+": unknown key" {
			t.Errorf("%s: %v, want the unknown key %s", text, err, key)
		}
	}
	if got, err := read(t, "discovery: {empty-protection: 0s}\nregister: {require: false}", base); err != nil || got.Discovery.EmptyProtection != 0 || got.Register.Require {
		t.Errorf("values of zero: %+v, %v", got, err)
	}
}

// TestSeveralFaults: an unknown key, a wrong type and values out of range are
// reported together, one line each.
func TestSeveralFaults(t *testing.T) {
	_, err := read(t, `
mode: fast
colour: red
warmup: { window: 10, min-percent: 200, boost: 2 }
retry: { budget-percent: -1 }
shutdown: { timeout: 1ms }
`, Default())
	if err == nil {
		t.Fatal("accepted")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, key := range []string{"mode", "colour", "warmup.window", "warmup.min-percent", "warmup.boost", "retry.budget-percent", "shutdown.timeout"} {
		n := 0
		for _, l := range lines {
			if strings.HasPrefix(l, Root+"."+key+": ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s is named by %d lines, want 1, in\n%s", key, n, err)
		}
	}
	if len(lines) != 7 {
		t.Errorf("%d lines, want 7:\n%s", len(lines), err)
	}
}

// TestSeveralEntries: every bad entry of a list is reported, those beside one of the
// wrong type as well.
func TestSeveralEntries(t *testing.T) {
	for text, want := range map[string][]string{
		`propagate: {keys: [X-User, "a b", "", x-good, dubbo.tag, te]}`: {`got "X-User"`, `got "a b"`, `got ""`, `got "dubbo.tag"`, `got "te"`},
		`propagate: {keys: ["a b", 1, x-good, te, 2]}`:                  {"keys[1]: got 1", "keys[4]: got 2", `got "a b"`, `got "te"`},
		`retry: {idempotent: [a, s/M, "b /c"]}`:                         {`got "a"`, `got "b /c"`},
	} {
		_, err := read(t, text, Default())
		if err == nil {
			t.Errorf("%s: accepted", text)
			continue
		}
		if n := strings.Count(err.Error(), "\n") + 1; n != len(want) {
			t.Errorf("%s: %d lines, want %d:\n%v", text, n, len(want), err)
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w+",") {
				t.Errorf("%s: does not say %q:\n%v", text, w, err)
			}
		}
	}
}

func TestExponent(t *testing.T) {
	for curve, want := range map[string]float64{"linear": 1, "quadratic": 2, "1": 1, "0.5": 0.5, "10": 10} {
		w := Warmup{Curve: curve}
		if got, err := w.Exponent(); got != want || err != nil {
			t.Errorf("Exponent of %q = %v, %v; want %v", curve, got, err, want)
		}
	}
	if _, err := (&Warmup{}).Exponent(); err == nil {
		t.Error("an empty curve was accepted")
	}
	auto := Register{PublishWeight: "auto"}
	if n, err := auto.Weight(); n != 0 || err != nil {
		t.Errorf("Weight of auto = %d, %v; want 0", n, err)
	}
}
