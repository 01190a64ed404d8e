// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"
)

// conf is the committed configuration of one of the programs.
func conf(app string) string {
	return filepath.Join("..", "..", "..", app, "conf", "dubbogo.yml")
}

func lookup(t *testing.T, src []byte, path ...string) any {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(src, &v); err != nil {
		t.Fatal(err)
	}
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}

func TestRenderCommittedConfigurations(t *testing.T) {
	s := Settings{
		Registry: Registry{Protocol: "nacos", Address: "127.0.0.1:8848", Level: "application"},
		Tag:      "gray", Port: 12001, ProbePort: 12002, MetadataPort: 12003, Window: 2 * time.Second, Private: "/private",
	}
	for _, app := range Apps() {
		before, err := os.ReadFile(conf(app))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Render(conf(app), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			value any
			path  string
		}{
			{app, "dubbo application name"}, // kept
			{"gray", "dubbo application tag"},
			{"12003", "dubbo application metadata-service-port"},
			{"12001", "dubbo protocols tri port"},
			{"127.0.0.1", "dubbo protocols tri ip"},
			{true, "dubbo metrics probe enabled"},
			{"12002", "dubbo metrics probe port"},
			{"2s", "dubbo custom config-map graylane warmup window"},
			{"nacos", "dubbo registries main protocol"},
			{"127.0.0.1:8848", "dubbo registries main address"},
			{"service", "dubbo registries main registry-type"},
			{"/private", "dubbo registries main params cacheDir"},
			{"/private", "dubbo registries main params logDir"},
		} {
			if v := lookup(t, got, strings.Fields(want.path)...); v != want.value {
				t.Errorf("%s: %s = %v, want %v", app, want.path, v, want.value)
			}
		}
		after, err := os.ReadFile(conf(app))
		if err != nil || string(after) != string(before) {
			t.Errorf("%s: the committed file was changed (%v)", app, err)
		}
	}
}

func TestRenderLevels(t *testing.T) {
	for level, want := range map[string]string{"interface": "interface", "application": "service"} {
		got, err := Render(conf("cart"), Settings{Registry: Registry{Protocol: "etcdv3", Address: "a:1", Level: level}})
		if err != nil {
			t.Fatal(err)
		}
		if v := lookup(t, got, "dubbo", "registries", "main", "registry-type"); v != want {
			t.Errorf("-level %s: registry-type %v, want %v", level, v, want)
		}
	}
}

func TestRenderFaults(t *testing.T) {
	for name, tc := range map[string]struct{ yaml, want string }{
		"not YAML":       {"a: [", "dubbogo.yml: yaml: line 1"},
		"two registries": {"dubbo: {registries: {a: {}, b: {}}}", "got [a b], want one entry"},
		"not a map":      {"dubbo: {application: x}", "[dubbo application]: got string, want a map"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dubbogo.yml")
			if err := os.WriteFile(file, []byte(tc.yaml), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Render(file, Settings{Tag: "x"}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := Render(filepath.Join(t.TempDir(), "none.yml"), Settings{}); err == nil {
		t.Error("a missing file is no fault")
	}
}
