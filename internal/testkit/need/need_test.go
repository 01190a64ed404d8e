// SPDX-License-Identifier: Apache-2.0

package need

import (
	"errors"
	"testing"
)

func TestJudge(t *testing.T) {
	none := errors.New("no java")
	for _, tc := range []struct {
		missing  error
		required string
		want     verdict
		text     string
	}{
		{nil, "", run, ""},
		{nil, "all", run, ""},
		{none, "", skip, "no java"},
		{none, "all", fail, "GRAYLANE_REQUIRE=all, but no java"},
		{none, "ALL", skip, "no java"}, // no other word counts
		{none, "java", skip, "no java"},
		{errors.Join(none, errors.New("no mvn")), "", skip, "no java\nno mvn"},
	} {
		if got, text := judge(tc.missing, tc.required); got != tc.want || text != tc.text {
			t.Errorf("judge(%v, %q) = %s, %q, want %s, %q", tc.missing, tc.required, got, text, tc.want, tc.text)
		}
	}
}

// ended is how a test of ours ends.
type ended struct{ skipped, failed bool }

// recorder is a test that only says how it would have ended.
type recorder struct {
	testing.TB
	ended
}

func (*recorder) Helper()        {}
func (r *recorder) Skip(...any)  { r.skipped = true }
func (r *recorder) Fatal(...any) { r.failed = true }

func TestPart(t *testing.T) {
	none := errors.New("no java")
	for _, tc := range []struct {
		required string
		missing  []error
		want     ended
	}{
		{"", nil, ended{}},
		{"all", []error{nil, nil}, ended{}},
		{"", []error{nil, none}, ended{skipped: true}},
		{"all", []error{none, nil}, ended{failed: true}},
	} {
		t.Setenv(requireEnv, tc.required)
		r := &recorder{TB: t}
		Part(r, tc.missing...)
		if r.ended != tc.want {
			t.Errorf("%s=%q, missing %v: %+v, want %+v", requireEnv, tc.required, tc.missing, r.ended, tc.want)
		}
	}
}

func TestLong(t *testing.T) {
	r := &recorder{TB: t}
	Long(r, "starts processes")
	if want := (ended{skipped: testing.Short()}); r.ended != want {
		t.Errorf("-short is %v: %+v, want %+v", testing.Short(), r.ended, want)
	}
}
