// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"dubbo.apache.org/dubbo-go/v3"

	"github.com/graylane/graylane/internal/conf"
)

// The settings, documented field by field, with defaults and ranges.
type (
	// Config is everything that can be set. Start from [Default].
	Config = conf.Config
	// Mode says how far Graylane takes part.
	Mode = conf.Mode
)

// The modes.
const (
	Enforce = conf.Enforce // route, balance, reroute, register and drain. The default.
	Observe = conf.Observe // register and drain; calls go as dubbo-go would send them, differences are counted.
	Off     = conf.Off     // dubbo-go's own parts do everything.
)

// The environment variables that win over every file.
const (
	EnvMode = "GRAYLANE_MODE" // enforce, observe or off
	EnvTag  = "GRAYLANE_TAG"  // the tag of this instance
)

// ErrStarted reports that settings came after the first service or reference.
// Configure earlier in main.
var ErrStarted = errors.New("graylane: Configure after the first service or reference")

// Default returns the settings of an empty configuration.
func Default() Config { return conf.Default() }

var code struct { //nolint:gochecknoglobals // Configure comes before any object of ours
	sync.Mutex
	base  *Config
	inUse bool
}

// Configure gives the settings in code, for programs that start by
// dubbo.NewInstance and so have no dubbogo.yml. Where there is one, its keys win
// over these. Call it before the first service or reference is made; it returns
// every fault with its key, or [ErrStarted].
func Configure(c Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	code.Lock()
	defer code.Unlock()
	if code.inUse {
		return ErrStarted
	}
	code.base = &c
	return nil
}

// load puts together what holds: the environment over dubbogo.yml over Configure
// over the defaults.
func load() (Config, error) {
	code.Lock()
	code.inUse = true
	c := conf.Default()
	if code.base != nil {
		c = *code.base
	}
	code.Unlock()
	if custom := dubbo.GetCustomConfigSnapshot(); custom != nil {
		if raw, ok := custom.ConfigMap["graylane"]; ok && raw != nil {
			m, ok := raw.(map[string]any)
			if !ok {
				return c, fmt.Errorf("%s: got %v, want a map of settings", conf.Root, raw)
			}
			var err error
			if c, err = conf.Decode(m, c); err != nil {
				return c, err
			}
		}
	}
	if m := os.Getenv(EnvMode); m != "" {
		c.Mode = Mode(m)
		if err := c.Validate(); err != nil {
			return c, fmt.Errorf("%s=%s: %w", EnvMode, m, err)
		}
	}
	return c, nil
}
