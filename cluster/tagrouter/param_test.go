// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/internal/meta"
)

// TestConditions is StringMatch of Dubbo Java 3.3. A parameter that is there but
// empty counts as missing, as in dubbo-go.
func TestConditions(t *testing.T) {
	for _, tc := range []struct {
		name  string
		s     stringMatch
		value string
		want  bool
	}{
		{"exact", stringMatch{exact: "gray"}, "gray", true},
		{"exact, longer", stringMatch{exact: "gray"}, "gray2", false},
		{"exact, case", stringMatch{exact: "gray"}, "Gray", false},
		{"exact, missing", stringMatch{exact: "gray"}, "", false},
		{"prefix", stringMatch{prefix: "gr"}, "gray", true},
		{"prefix, whole", stringMatch{prefix: "gray"}, "gray", true},
		{"prefix, not", stringMatch{prefix: "gr"}, "agray", false},
		{"prefix, missing", stringMatch{prefix: "gr"}, "", false},
		{"regex", stringMatch{regex: "g.*y"}, "gray", true},
		{"regex is of the whole value", stringMatch{regex: "ra"}, "gray", false},
		{"regex, alternatives are too", stringMatch{regex: "g|gray"}, "gray", true},
		{"regex, anchors do no harm", stringMatch{regex: "^gray$"}, "gray", true},
		{"regex, no line is the whole value", stringMatch{regex: "(?m)^gray$"}, "gray\nx", false},
		{"regex, missing", stringMatch{regex: ".*"}, "", false},
		{"range, low end", stringMatch{span: "10~20"}, "10", true},
		{"range, high end", stringMatch{span: "10~20"}, "20", true},
		{"range, below", stringMatch{span: "10~20"}, "9", false},
		{"range, above", stringMatch{span: "10~20"}, "21", false},
		{"range, of numbers, not of texts", stringMatch{span: "10~20"}, "100", false},
		{"range, no number", stringMatch{span: "10~20"}, "x", false},
		{"range, a fraction", stringMatch{span: "10~20"}, "10.5", false},
		{"range, open below", stringMatch{span: "~20"}, "-5", true},
		{"range, open above", stringMatch{span: "10~"}, "9999", true},
		{"range, one number", stringMatch{span: "10~10"}, "10", true},
		{"range, below zero", stringMatch{span: "-3~-1"}, "-2", true},
		{"range, missing", stringMatch{span: "~20"}, "", false},
		{"wildcard", stringMatch{wildcard: "*"}, "x", true},
		{"wildcard, missing", stringMatch{wildcard: "*"}, "", false},
		{"wildcard without a star", stringMatch{wildcard: "gray"}, "gray", true},
		{"wildcard without a star, not", stringMatch{wildcard: "gray"}, "grays", false},
		{"empty, missing", stringMatch{empty: "true"}, "", true},
		{"empty, there", stringMatch{empty: "true"}, "x", false},
		{"noempty, there", stringMatch{noempty: "true"}, "x", true},
		{"noempty, missing", stringMatch{noempty: "true"}, "", false},
		{"any value says yes, as in Java", stringMatch{noempty: "1"}, "x", true},
		{"exact or empty, exact", stringMatch{exact: "gray", empty: "true"}, "gray", true},
		{"exact or empty, other", stringMatch{exact: "gray", empty: "true"}, "x", false},
		{"exact or empty, missing", stringMatch{exact: "gray", empty: "true"}, "", true},
		{"exact before noempty", stringMatch{exact: "gray", noempty: "true"}, "x", false},
		{"exact before noempty, missing", stringMatch{exact: "gray", noempty: "true"}, "", false},
	} {
		m, err := newParamMatch("env", tc.s)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got := m.matches(tc.value); got != tc.want {
			t.Errorf("%s: %q matches: %t, want %t", tc.name, tc.value, got, tc.want)
		}
	}
}

func TestBadConditions(t *testing.T) {
	for _, s := range []stringMatch{
		{},
		{exact: "a", prefix: "b"},
		{exact: "a", wildcard: "*"},
		{regex: "a", prefix: "b"},
		{span: "1~2", prefix: "b"},
		{span: "~"},
		{span: "10"},
		{span: "20~10"},
		{span: "a~b"},
		{span: "1~2~3"},
		{empty: "true", noempty: "true"},
		{empty: "false"},
		{noempty: "False"},
		{wildcard: "gr*"},
		{regex: "("},
		{regex: "a)|(b"},    // only so would it be one if wrapped
		{regex: "(?=gray)"}, // Java's, which RE2 does not know
	} {
		if _, err := newParamMatch("env", s); err == nil {
			t.Errorf("%+v is taken for a condition", s)
		}
	}
}

// TestParams: rules see what the provider said, its service before its instance,
// and nothing that the reference brought.
func TestParams(t *testing.T) {
	own := common.NewURLWithOptions(common.WithParamsValue("zone", "own"))
	own.SetAttribute(meta.Instance, map[string]string{"zone": "instance", "rack": "instance"})
	merged := own.MergeURL(common.NewURLWithOptions(common.WithParamsValue("env", "gray"), common.WithParamsValue("zone", "reference")))
	plain := merged.Clone()
	merged.SetAttribute(meta.Provider, own)
	for _, tc := range []struct {
		name            string
		u               *common.URL
		zone, rack, env string
	}{
		{"of Graylane's directory", merged, "own", "instance", ""},
		{"of another", plain, "own", "instance", "gray"},
		{"none", nil, "", "", ""},
	} {
		p := paramsOf(tc.u)
		if p.get("zone") != tc.zone || p.get("rack") != tc.rack || p.get("env") != tc.env {
			t.Errorf("%s: zone %q, rack %q, env %q; want %q, %q, %q", tc.name, p.get("zone"), p.get("rack"), p.get("env"), tc.zone, tc.rack, tc.env)
		}
	}
}
