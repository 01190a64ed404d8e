// SPDX-License-Identifier: Apache-2.0

package override

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
)

func consumer() Consumer {
	return Consumer{Host: "10.0.0.9", App: "web", Service: common.NewURLWithOptions(common.WithProtocol("consumer"),
		common.WithPath("shop.Order"), common.WithInterface("shop.Order"), common.WithParamsValue("group", "g"), common.WithParamsValue("version", "1"))}
}

func provider() *common.URL {
	return common.NewURLWithOptions(common.WithProtocol("tri"), common.WithIp("10.0.0.1"), common.WithPort("20000"), common.WithPath("shop.Order"),
		common.WithParamsValue("env", "gray"))
}

// TestRule: which items are for the reference as a whole, and for one provider of it.
func TestRule(t *testing.T) {
	for _, tc := range []struct {
		name, item          string
		reference, provider bool
	}{
		{"for all", "", true, true},
		{"the consumer's side", "side: consumer", true, true},
		{"the provider's side", "side: provider", false, false},
		{"this consumer", `addresses: ["10.0.0.9"]`, true, true},
		{"any consumer", `addresses: ["0.0.0.0"]`, true, true},
		{"another consumer", `addresses: ["10.0.0.8"]`, false, false},
		{"this application", `applications: [shop, web]`, true, true},
		{"another application", `applications: [shop]`, false, false},
		{"this service", `services: ["g/shop.Order:1"]`, true, true},
		{"this service, in any group", `services: [shop.Order]`, true, true},
		{"any service", `services: ["*"]`, true, true},
		{"another version", `services: ["g/shop.Order:2"]`, false, false},
		{"this provider", `providerAddresses: ["10.0.0.1:20000"]`, false, true},
		{"any provider", `providerAddresses: ["0.0.0.0"]`, true, true},
		{"a port", `providerAddresses: ["0.0.0.0:20000"]`, false, true},
		{"another port", `providerAddresses: ["10.0.0.1:2000"]`, false, false}, // dubbo-go looks for the text within
		{"match on nothing", `match: {}`, true, true},
		{"match on the consumer", `match: { address: { cird: 10.0.0.0/24 } }`, true, true},
		{"match on another", `match: { address: { wildcard: "10.0.1.*" } }`, false, false},
		{"match on the provider", `match: { providerAddress: { exact: "10.0.0.1:20000" } }`, false, true},
		{"match on the provider's address", `match: { providerAddress: { cird: 10.0.0.0/30 } }`, false, true},
		{"match on another provider", `match: { providerAddress: { wildcard: "10.0.1.*" } }`, false, false},
		{"match on the service", `match: { service: { oneof: [{ exact: "g/shop.Order:1" }] } }`, true, true},
		{"match on another service", `match: { service: { oneof: [{ prefix: other }] } }`, false, false},
		{"match on the application", `match: { app: { oneof: [{ exact: web }] } }`, true, true},
		{"match on another application", `match: { app: { oneof: [{ exact: shop }] } }`, false, false},
		{"match on a parameter", `match: { param: [{ key: env, value: { exact: gray } }] }`, false, true},
		{"match on another value", `match: { param: [{ key: env, value: { exact: blue } }] }`, false, false},
		{"not enabled", "type: own\n    enabled: false", false, false},
		{"enabled is for types", "enabled: false", true, true},
	} {
		item := tc.item
		if item != "" {
			item += "\n    "
		}
		r, err := Decode("configVersion: v3.0\nscope: service\nkey: shop.Order\nconfigs:\n  - " + item + "parameters: { weight: \"7\" }\n")
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := r.Reference(consumer(), nil)["weight"] == "7"; got != tc.reference {
			t.Errorf("%s: for the reference: %t", tc.name, got)
		}
		if got := r.Provider(consumer(), provider(), nil)["weight"] == "7"; got != tc.provider {
			t.Errorf("%s: for the provider: %t", tc.name, got)
		}
	}
}

// TestParameters: the last item that names a key counts, conditions are not set, and
// timeouts are durations.
func TestParameters(t *testing.T) {
	r, err := Decode(`
scope: application
key: web
configs:
  - parameters: { timeout: 1500, retries: 1, methods.Get.timeout: 2s }
  - parameters: { retries: "0", group: other, enabled: "false", dynamic: "false", interfaces: shop.Order, "~env": gray }
  - parameters: { "~env": blue, loadbalance: random }
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"timeout": "1500ms", "methods.Get.timeout": "2s", "retries": "0"}
	if got := r.Provider(consumer(), provider(), nil); !maps.Equal(got, want) {
		t.Errorf("provider: %v, want %v", got, want)
	}
	want["retries"] = "1"
	if got := r.Reference(consumer(), nil); !maps.Equal(got, want) {
		t.Errorf("reference: %v, want %v", got, want)
	}
}

// TestNone: texts that override nothing.
func TestNone(t *testing.T) {
	for _, text := range []string{"", "# none", "---\n", "enabled: false\nconfigs:\n  - parameters: { weight: 1 }", "scope: service\nkey: x\n", "configs: []"} {
		if r, err := Decode(text); r != nil || err != nil {
			t.Errorf("%q: %v, %v", text, r, err)
		}
	}
	var none *Rule
	if got := none.Provider(consumer(), provider(), nil); got != nil {
		t.Errorf("nil overrides %v", got)
	}
}

// TestFaults: each is named.
func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"configs: {":                           "line 1",
		"scope: global":                        `scope: got "global"`,
		"config: []":                           `line 1: unknown key "config"`,
		"configs:\n  - side: consumer":         "configs[0].parameters: got none",
		"configs:\n  - parameters: { a: [b] }": "line 2",
		"configs:\n  - {side: all, parameters: { a: b }}":                                               `configs[0].side: got "all"`,
		"configs:\n  - parameters: { timeout: soon }":                                                   `configs[0].parameters.timeout: got "soon"`,
		"configs:\n  - parameters: { timeout: 0 }":                                                      `configs[0].parameters.timeout: got "0"`,
		"configs:\n  - parameters: { a: b }\n    match: 7":                                              "line 3",
		"configs:\n  - parameters: { a: b }\n    match: { address: { cird: 10.0.0.1 } }":                `configs[0].match.address.cird: got "10.0.0.1"`,
		"configs:\n  - parameters: { a: b }\n    match: { providerAddress: { cird: x/8 } }":             `configs[0].match.providerAddress.cird: got "x/8"`,
		"configs:\n  - parameters: { a: b }\n    match: { service: { oneof: [{}, { regex: \"(\" }] } }": "configs[0].match.service.oneof[1].regex: ",
		"configs:\n  - parameters: { a: b }\n    match: { app: { oneof: [{ regex: \"(\" }] } }":         "configs[0].match.app.oneof[0].regex: ",
		"configs:\n  - parameters: { a: b }\n    match: { param: [~, { value: { regex: \"(\" } }] }":    "configs[0].match.param[1].value.regex: ",
		strings.Repeat("#", MaxBytes+1):                                                                 "at most",
	} {
		if r, err := Decode(text); err == nil || r != nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %v, %v; want %q", text, r, err, want)
		}
	}
}

// TestValues: what is allowed under the keys that are known, and as what it is taken.
func TestValues(t *testing.T) {
	const wantTag, wantWeight, wantRetries, wantBool = "want a tag", "want a number from 0 to 1000000000", "want a whole number from 0", "want true or false"
	for _, tc := range []struct{ key, value, as, fault string }{
		{"dubbo.tag", "gray", "gray", ""},
		{"dubbo.tag", "", "", ""},
		{"dubbo.tag", "a b", "", wantTag},
		{"weight", "0", "0", ""},
		{"weight", "2.5", "2.5", ""},
		{"weight", "1000000000", "1000000000", ""},
		{"weight", "abc", "", wantWeight},
		{"weight", "-5", "", wantWeight},
		{"weight", "99999999999999999999", "", wantWeight},
		{"weight", "NaN", "", wantWeight},
		{"weight", "", "", wantWeight},
		{"methods.Get.weight", "2.5", "", wantWeight},
		{"methods.Get.weight", "2", "2", ""},
		{"disabled", "TRUE", "true", ""},
		{"disabled", "False", "false", ""},
		{"disabled", "maybe", "", wantBool},
		{"sticky", "TRUE", "true", ""},
		{"sticky", "maybe", "", wantBool},
		{"methods.Get.sticky", "maybe", "", wantBool},
		{"retries", "0", "0", ""},
		{"retries", "x", "", wantRetries},
		{"retries", "-3", "", wantRetries},
		{"methods.Get.retries", "x", "", wantRetries},
		{"interface", "com.other", "", "cannot be overridden"},
		{"path", "com.other", "", "cannot be overridden"},
		{"~interface", "com.other", "", ""},
		{"version", "any text", "", ""}, // conditions
		{"my.weight", "heavy", "heavy", ""},
		{"zone", "a", "a", ""}, // a user's own
	} {
		r, err := Decode(fmt.Sprintf("configs:\n  - parameters:\n      other: x\n      %q: %q\n", tc.key, tc.value))
		if tc.fault != "" {
			want := fmt.Sprintf("line 4: configs[0].parameters.%s: got %q, ", tc.key, tc.value)
			if err == nil || r != nil || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), tc.fault) {
				t.Errorf("%s: %q: %v; want %s… %s", tc.key, tc.value, err, want, tc.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %q: %v", tc.key, tc.value, err)
			continue
		}
		u := provider()
		u.SetParam("interface", "com.other")
		if got := r.Provider(consumer(), u, nil)[tc.key]; got != tc.as {
			t.Errorf("%s: %q is taken as %q, want %q", tc.key, tc.value, got, tc.as)
		}
	}
}

// TestAllFaults: all of a text's are told, in people's words.
func TestAllFaults(t *testing.T) {
	for text, want := range map[string][]string{
		"soon": {`line 1: got "soon", want a rule with configs`},
		"scope: global\nconfig: 1\nconfigs:\n  - side: all\n    parameters: { weight: x,\n      retries: y }\n    match: { address: { cird: z } }\n  - parameters: { timeout: [1] }\n    applications: web\n": {
			`line 2: unknown key "config"`, "line 8: got a list, want a text", `line 9: got "web", want a list of texts`, `line 1: scope: got "global"`,
			`line 4: configs[0].side: got "all"`, `line 5: configs[0].parameters.weight: got "x"`, `line 6: configs[0].parameters.retries: got "y"`,
			`line 7: configs[0].match.address.cird: got "z"`,
		},
		"configs:\n  - parameters: { a: b }\n    match: 7": {`line 3: got "7", want a map of its settings`},
		"enabled: perhaps\nconfigs: {}":                    {`line 1: got "perhaps", want true or false`, "line 2: got a map, want a list of items"},
	} {
		_, err := Decode(text)
		if err == nil {
			t.Errorf("%q is taken", text)
			continue
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v; want %q in it", text, err, w)
			}
		}
		for _, w := range []string{"!!", "override.", "\n", "yaml"} {
			if strings.Contains(err.Error(), w) {
				t.Errorf("%q: %v; want no %q in it", text, err, w)
			}
		}
	}
}

// FuzzDecode: no text panics, also when it is applied.
func FuzzDecode(f *testing.F) {
	f.Add("scope: service\nconfigs:\n  - parameters: { weight: \"7\" }\n    match: { param: [{ key: env, value: { regex: \"(\" } }], address: { cird: x } }\n")
	f.Add("configs:\n  - parameters: { timeout: 1 }\n    providerAddresses: [\"0.0.0.0:\", \"[::1]:1\"]\n    match: { param: [~] }\n")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode(text)
		if r != nil && err != nil {
			t.Errorf("both a rule and %v", err)
		}
		r.Reference(consumer(), nil)
		r.Provider(consumer(), provider(), nil)
	})
}
