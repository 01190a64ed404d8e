// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
)

// fresh forgets what Configure was given and that settings are in use.
func fresh(t *testing.T) {
	t.Helper()
	reset := func() {
		code.Lock()
		code.base, code.inUse = nil, false
		code.Unlock()
	}
	reset()
	t.Cleanup(reset)
}

// nobody is a reference that cannot be made.
type nobody struct{}

var notStarted sync.Once

// loadYAML has dubbo-go read a real dubbogo.yml with our part; "" is a file
// without it. dubbo-go has no other way in for the settings than its loader.
func loadYAML(t *testing.T, ours string) {
	t.Helper()
	text := "dubbo:\n  application: { name: order }\n  logger: { level: error }\n  shutdown: { internal-signal: false }\n"
	if ours != "" {
		text += "  custom:\n    config-map:\n      graylane: " + ours + "\n"
	}
	path := filepath.Join(t.TempDir(), "dubbogo.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The first Load also starts the program's services. A reference that cannot be
	// made (dubbo-go panics) ends that before a port is opened; the file has been
	// read by then.
	notStarted.Do(func() {
		dubbo.SetConsumerServiceWithInfo(&nobody{}, &client.ClientInfo{
			InterfaceName: "com.shop.Nobody", ConnectionInjectFunc: func(any, *client.Connection) {},
		})
		defer func() {
			if recover() == nil {
				t.Fatal("a reference without registry or URL was made")
			}
		}()
		_ = dubbo.Load(dubbo.WithPath(path))
	})
	if err := dubbo.Load(dubbo.WithPath(path)); err != nil {
		t.Fatal(err)
	}
}

// TestPrecedence: the environment over dubbogo.yml over Configure over the defaults.
func TestPrecedence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		code   func(*Config)
		yaml   string
		env    string
		mode   Mode
		window time.Duration
		boost  float64
	}{
		{"defaults", nil, "", "", Enforce, 120 * time.Second, 1.5},
		{"Configure", func(c *Config) { c.Mode = Observe; c.Warmup.Window = time.Minute }, "", "", Observe, time.Minute, 1.5},
		{"YAML", nil, "{mode: observe, warmup: {window: 10s}}", "", Observe, 10 * time.Second, 1.5},
		{"YAML over Configure, key by key", func(c *Config) { c.Mode = Observe; c.Warmup.Window = time.Minute; c.Warmup.MaxBoost = 3 }, "{warmup: {window: 10s}}", "", Observe, 10 * time.Second, 3},
		{"env over YAML", nil, "{mode: observe}", "off", Off, 120 * time.Second, 1.5},
		{"env over both", func(c *Config) { c.Mode = Observe }, "{mode: off}", "enforce", Enforce, 120 * time.Second, 1.5},
		{"YAML without values", func(c *Config) { c.Mode = Observe; c.Warmup.Window = time.Minute }, "{mode: , warmup: {window: , max-boost: ~}, discovery: }", "", Observe, time.Minute, 1.5},
		{"env empty is unset", nil, "{mode: observe}", "", Observe, 120 * time.Second, 1.5},
	} {
		fresh(t)
		t.Setenv(EnvMode, tc.env)
		if tc.code != nil {
			c := Default()
			tc.code(&c)
			if err := Configure(c); err != nil {
				t.Fatalf("%s: %v", tc.name, err)
			}
		}
		loadYAML(t, tc.yaml)
		got, err := load()
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if got.Mode != tc.mode || got.Warmup.Window != tc.window || got.Warmup.MaxBoost != tc.boost {
			t.Errorf("%s: mode %s, window %v, boost %v; want %s, %v, %v", tc.name, got.Mode, got.Warmup.Window, got.Warmup.MaxBoost, tc.mode, tc.window, tc.boost)
		}
	}
}

// TestFaults: each names where it stands.
func TestFaults(t *testing.T) {
	const root = "dubbo.custom.config-map.graylane"
	for _, tc := range []struct {
		yaml, env string
		say       []string
	}{
		{"{warmup: {windw: 10s}}", "", []string{root + ".warmup.windw: unknown key"}},
		{"{warmup: {window: 10}}", "", []string{root + ".warmup.window", "10", "unit"}},
		{"{warmup: {max-boost: 0.5}, mode: fast}", "", []string{root + ".warmup.max-boost", "1 to 100", root + ".mode", `"fast"`}},
		{"enforce", "", []string{root, "enforce", "map of settings"}},
		{"", "fast", []string{EnvMode + "=fast", "enforce or observe or off"}},
	} {
		fresh(t)
		t.Setenv(EnvMode, tc.env)
		loadYAML(t, tc.yaml)
		_, err := load()
		if err == nil {
			t.Errorf("%s %s: accepted", tc.yaml, tc.env)
			continue
		}
		for _, s := range tc.say {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s %s: %q does not say %q", tc.yaml, tc.env, err, s)
			}
		}
	}
}

func TestConfigure(t *testing.T) {
	fresh(t)
	c := Default()
	c.Warmup.MaxBoost = 0
	c.Mode = "fast"
	if err := Configure(c); err == nil || !strings.Contains(err.Error(), "warmup.max-boost") || !strings.Contains(err.Error(), ".mode") {
		t.Errorf("Configure with two faults: %v", err)
	}
	if err := Configure(Default()); err != nil {
		t.Error(err)
	}
	if _, err := load(); err != nil {
		t.Fatal(err)
	}
	if err := Configure(Default()); !errors.Is(err, ErrStarted) {
		t.Errorf("Configure after the first use: %v, want ErrStarted", err)
	}
}
