// SPDX-License-Identifier: Apache-2.0

// Package conf holds Graylane's settings: one struct for YAML and code, its
// defaults, strict decoding, bounds, and the settings in force.
//
// [Current] is one atomic load and safe for concurrent use; the value behind it
// is never changed after [Set], so a caller keeps one pointer for one decision.
package conf

import (
	"sync/atomic"
	"time"
)

// Mode says how far Graylane takes part.
type Mode string

// The modes of the key mode. The environment variable GRAYLANE_MODE wins.
const (
	Enforce Mode = "enforce" // route, balance, reroute, register and drain
	Observe Mode = "observe" // register and drain; calls go as dubbo-go would send them, differences are counted
	Off     Mode = "off"     // dubbo-go's own parts do everything
)

// Config is everything that can be set below dubbo.custom.config-map.graylane.
type Config struct {
	Mode      Mode      `mapstructure:"mode"` // Default enforce.
	Routing   Routing   `mapstructure:"routing"`
	Propagate Propagate `mapstructure:"propagate"`
	Register  Register  `mapstructure:"register"`
	Warmup    Warmup    `mapstructure:"warmup"`
	Shutdown  Shutdown  `mapstructure:"shutdown"`
	Retry     Retry     `mapstructure:"retry"`
	Outlier   Outlier   `mapstructure:"outlier"`
	Discovery Discovery `mapstructure:"discovery"`
}

// Routing sets the ladder from the wanted tag to the baseline.
type Routing struct {
	UntaggedFallback string `mapstructure:"untagged-fallback"` // "none" or "any": what serves a call without tag when no baseline is left. Default none.
	Compat           string `mapstructure:"compat"`            // "graylane" or "java". Default graylane.
}

// Propagate names what travels beside the tag.
type Propagate struct {
	Keys []string `mapstructure:"keys"` // further attachment keys that travel: lower-case header names, none of Dubbo's, HTTP's or Graylane's. Default none.
}

// Register sets how an instance joins.
type Register struct {
	Delay         time.Duration `mapstructure:"delay"`          // waits between export and registration, 0 to 1h. Default 0.
	Manual        bool          `mapstructure:"manual"`         // register only when lifecycle.Register is called. Default false.
	Require       bool          `mapstructure:"require"`        // end the start when the registry cannot be reached within Timeout. Default true.
	Timeout       time.Duration `mapstructure:"timeout"`        // 100ms to 10m. Default 6s.
	PublishWeight string        `mapstructure:"publish-weight"` // "auto", or a weight from 1 to 10000 that is published at both levels. Default auto.
	Check         Check         `mapstructure:"check"`          // what must pass before the instance registers. Default nothing.
}

// Check sets what is asked before an instance registers: every target that is
// named must pass, in one round. The times also hold for checks given in code.
type Check struct {
	HTTP     string        `mapstructure:"http"`     // an http or https URL; GET must answer 200 to 399. Default none.
	TCP      string        `mapstructure:"tcp"`      // host:port that must take a connection. Default none.
	GRPC     string        `mapstructure:"grpc"`     // host:port[/service] whose gRPC health must be SERVING, without TLS. Default none.
	Interval time.Duration `mapstructure:"interval"` // pause after a round that failed, 10ms to 1m. Default 1s.
	Timeout  time.Duration `mapstructure:"timeout"`  // bound of one try, 10ms to 1m. Default 1s.
	Limit    time.Duration `mapstructure:"limit"`    // ends the start when the checks have not passed by then, 100ms to 1h. Default 60s.
}

// Warmup sets the ramp of a new endpoint.
type Warmup struct {
	Window     time.Duration `mapstructure:"window"`      // 0 (no ramp) to 24h; what this process publishes as WarmupTime. Default 120s.
	Curve      string        `mapstructure:"curve"`       // "linear", "quadratic", or an exponent from 0.1 to 10. Default linear.
	MinPercent float64       `mapstructure:"min-percent"` // share of the weight at age zero, 0 to 100. Default 10.
	MaxBoost   float64       `mapstructure:"max-boost"`   // bound of a warm endpoint's load, in fair shares, 1 to 100. Default 1.5.
}

// Shutdown sets how an instance leaves.
type Shutdown struct {
	QuietPeriod     time.Duration `mapstructure:"quiet-period"`     // no new call for so long ends the serving step, 0 to 1m. Default 1s.
	Notice          time.Duration `mapstructure:"notice"`           // how long after deregistration callers that cannot be told are served, 0 to 10m. Default 10s.
	Timeout         time.Duration `mapstructure:"timeout"`          // bound of the whole stop, from the mark on, 100ms to 1h. Default 25s.
	RegistryTimeout time.Duration `mapstructure:"registry-timeout"` // bound of one deregistration, 10ms to 1m. Default 2s.
}

// Retry sets what happens to calls whose outcome is unknown.
type Retry struct {
	Unknown       string   `mapstructure:"unknown"`        // "never", "idempotent" or "dubbo". Default idempotent.
	Idempotent    []string `mapstructure:"idempotent"`     // "com.shop.Order/Get", exact: one slash, no spaces. Default none.
	BudgetPercent float64  `mapstructure:"budget-percent"` // retries and later reroutes as a share of the calls, 0 to 100. Default 20.
}

// Outlier sets how long failing endpoints are kept out.
type Outlier struct {
	BaseEjectionTime   time.Duration `mapstructure:"base-ejection-time"`   // doubled by each ejection in a row, 10ms to 1h. Default 1s.
	MaxEjectionTime    time.Duration `mapstructure:"max-ejection-time"`    // at least base-ejection-time, to 24h. Default 30s.
	MaxEjectionPercent float64       `mapstructure:"max-ejection-percent"` // of the endpoints of one level, 0 to 100. Default 50.
}

// Discovery sets how far a registry's list is believed.
type Discovery struct {
	EmptyProtection time.Duration `mapstructure:"empty-protection"` // how long an empty list is held back, 0 (believe at once) to 1h. Default 30s.
}

// Default returns the settings of an empty configuration.
func Default() Config {
	return Config{
		Mode:    Enforce,
		Routing: Routing{UntaggedFallback: "none", Compat: "graylane"},
		Register: Register{
			Require: true, Timeout: 6 * time.Second, PublishWeight: "auto",
			Check: Check{Interval: time.Second, Timeout: time.Second, Limit: time.Minute},
		},
		Warmup:    Warmup{Window: 120 * time.Second, Curve: "linear", MinPercent: 10, MaxBoost: 1.5},
		Shutdown:  Shutdown{QuietPeriod: time.Second, Notice: 10 * time.Second, Timeout: 25 * time.Second, RegistryTimeout: 2 * time.Second},
		Retry:     Retry{Unknown: "idempotent", BudgetPercent: 20},
		Outlier:   Outlier{BaseEjectionTime: time.Second, MaxEjectionTime: 30 * time.Second, MaxEjectionPercent: 50},
		Discovery: Discovery{EmptyProtection: 30 * time.Second},
	}
}

var current atomic.Pointer[Config] //nolint:gochecknoglobals // dubbo-go makes filters and routers without arguments

func init() { c := Default(); current.Store(&c) }

// Current returns the settings in force, never nil. Callers must not change them.
func Current() *Config { return current.Load() }

// Set puts c in force. It does not validate: see [Config.Validate].
func Set(c Config) { current.Store(&c) }
