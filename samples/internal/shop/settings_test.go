// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadSettings(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      Settings
		fault     string // part of the error
	}{
		{"whole", "dubbo:\n  application: {name: order}\n  protocols: {tri: {port: \"20003\"}}\n", Settings{App: "order", Port: "20003"}, ""},
		{"port as a number", "dubbo:\n  application: {name: order}\n  protocols: {tri: {port: 20003}}\n", Settings{App: "order", Port: "20003"}, ""},
		{"no protocol", "dubbo:\n  application: {name: gateway}\n", Settings{App: "gateway"}, ""},
		{"timeout", "dubbo:\n  application: {name: gateway}\n  consumer: {request-timeout: 1500ms}\n", Settings{App: "gateway", Timeout: 1500 * time.Millisecond}, ""},
		{"no timeout", "dubbo:\n  application: {name: gateway}\n  consumer: {request-timeout: 0s}\n", Settings{}, "want above 0s"},
		{"not a timeout", "dubbo:\n  application: {name: gateway}\n  consumer: {request-timeout: soon}\n", Settings{}, "line 3"},
		{"bad YAML", "dubbo:\n  application: [\n", Settings{}, "line 2"},
		{"wrong type", "dubbo:\n  application: order\n", Settings{}, "line 2"},
		{"no name", "dubbo: {}\n", Settings{}, "dubbo.application.name"},
		{"empty", "", Settings{}, "dubbo.application.name"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dubbogo.yml")
			if err := os.WriteFile(path, []byte(tc.src), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := ReadSettings(path)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "\n") {
					t.Fatalf("error %v, want one line with %q and the path", err, tc.fault)
				}
				return
			}
			tc.want.Path = path
			if err != nil || got != tc.want {
				t.Errorf("ReadSettings = %+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestReadSettingsWithoutFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none.yml")
	if _, err := ReadSettings(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one with %s", err, path)
	}
}

// The committed files are readable from the top of the repository and from the
// program's own folder.
func TestConfPath(t *testing.T) {
	for _, program := range []string{"user", "cart", "order", "gateway"} {
		for _, dir := range []string{"../../..", "../../" + program} {
			t.Run(program+" from "+dir, func(t *testing.T) {
				t.Chdir(dir)
				s, err := ReadSettings(ConfPath(program, "dubbogo.yml", ""))
				if err != nil || s.App != program || s.Port == "" {
					t.Errorf("settings %+v, %v", s, err)
				}
			})
		}
	}
	if got := ConfPath("user", "dubbogo.yml", "mine.yml"); got != "mine.yml" {
		t.Errorf("with the flag: %s, want mine.yml", got)
	}
}
