// SPDX-License-Identifier: Apache-2.0

// Package override reads the rules by which Dubbo's operators override what a
// provider or a reference says: weight, timeout, retries and the like, for some
// consumers, services and providers ("configurators" in the config centre).
//
// The format is that of Dubbo Java and dubbo-admin, scope application or service, and
// so are the semantics, on the consumer's side: an item with `side: provider` is the
// provider's own business. dubbo-go v3.3.2 has the same format; it makes URLs of a rule
// and panics over an item of configVersion v3.0 that leaves out any of address,
// providerAddress, service, and app.
//
// A Rule is immutable; its methods may be called at any time.
package override

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"gopkg.in/yaml.v3"
)

// MaxBytes bounds the text of one rule.
const MaxBytes = 1 << 20

// Rule is what one text of the config centre overrides. nil overrides nothing.
type Rule struct {
	Where string // the text's place in the config centre, for log lines; set before the rule is shared
	items []item
}

// text is a rule as it is written.
type text struct {
	ConfigVersion string `yaml:"configVersion"`
	Scope         string `yaml:"scope"`
	Key           string `yaml:"key"`
	Enabled       *bool  `yaml:"enabled"` // nil: true, as in Java
	Configs       []item `yaml:"configs"`
}

// item is one part of a rule: for whom, and what.
type item struct {
	Type      string            `yaml:"type"`
	Enabled   *bool             `yaml:"enabled"`
	Side      string            `yaml:"side"`
	Consumers []string          `yaml:"addresses"`
	Providers []string          `yaml:"providerAddresses"`
	Services  []string          `yaml:"services"`
	Apps      []string          `yaml:"applications"`
	Match     *match            `yaml:"match"`
	Params    map[string]string `yaml:"parameters"`
}

// match is what configVersion v3.0 has beside the lists.
type match struct {
	Consumer *common.AddressMatch    `yaml:"address"`
	Provider *common.AddressMatch    `yaml:"providerAddress"`
	Service  *common.ListStringMatch `yaml:"service"`
	App      *common.ListStringMatch `yaml:"app"`
	Param    []*common.ParamMatch    `yaml:"param"`
}

// Decode reads a rule. A text that is empty, or holds nothing but comments, and one
// that is not enabled are no rule: nil without an error. An unknown key, a value of the
// wrong kind or out of range and an item without parameters are faults: the error has
// all of them, each with its line where there is one.
func Decode(raw string) (*Rule, error) {
	if len(raw) > MaxBytes {
		return nil, fmt.Errorf("got %d bytes, want at most %d", len(raw), MaxBytes)
	}
	in := yaml.NewDecoder(strings.NewReader(raw))
	in.KnownFields(true)
	var t text
	f := faults{text: raw}
	err := in.Decode(&t)
	var kinds *yaml.TypeError
	switch {
	case errors.As(err, &kinds): // the rest has been read
		for _, fault := range kinds.Errors {
			f.all = append(f.all, plainly(fault))
		}
	case errors.Is(err, io.EOF):
		return nil, nil //nolint:nilnil // nil is "no rule"
	case err != nil:
		return nil, err
	}
	if t.Scope != "" && t.Scope != "application" && t.Scope != "service" {
		f.add(fmt.Errorf("scope: got %q, want application or service", t.Scope), -1, "scope")
	}
	r := &Rule{}
	for n, i := range t.Configs {
		i.check(n, &f)
		general := i.Type == "" || i.Type == "general"
		if general && !on(t.Enabled) || !general && !on(i.Enabled) || i.Side == "provider" {
			continue
		}
		r.items = append(r.items, i)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	if len(r.items) == 0 {
		return nil, nil //nolint:nilnil // as above
	}
	return r, nil
}

func on(set *bool) bool { return set == nil || *set }

// check notes the faults of item n, and makes its values what those who ask understand.
func (i *item) check(n int, f *faults) {
	if len(i.Params) == 0 && len(f.all) == 0 { // else they may be what could not be read
		f.add(errors.New("parameters: got none, want at least one"), n, "parameters")
	}
	if i.Side != "" && i.Side != "provider" && i.Side != "consumer" {
		f.add(fmt.Errorf("side: got %q, want consumer or provider", i.Side), n, "side")
	}
	if err := i.Match.check(); err != nil {
		f.add(fmt.Errorf("match.%w", err), n, "match")
	}
	for _, key := range slices.Sorted(maps.Keys(i.Params)) {
		if condition(key) {
			continue
		}
		as, want := parameter(key, i.Params[key])
		if want != "" {
			f.add(fmt.Errorf("parameters.%s: got %q, want %s", key, i.Params[key], want), n, "parameters", key)
		}
		i.Params[key] = as
	}
}

// check finds the ranges and expressions that dubbo-go would take for no match.
func (m *match) check() error {
	if m == nil {
		return nil
	}
	for key, a := range map[string]*common.AddressMatch{"address": m.Consumer, "providerAddress": m.Provider} {
		if a == nil || a.Cird == "" {
			continue
		}
		if _, _, err := net.ParseCIDR(a.Cird); err != nil {
			return fmt.Errorf("%s.cird: got %q, want a range such as 10.0.0.0/8", key, a.Cird)
		}
	}
	for key, l := range map[string]*common.ListStringMatch{"service": m.Service, "app": m.App} {
		if l == nil {
			continue
		}
		for n := range l.Oneof {
			if _, err := regexp.Compile(l.Oneof[n].Regex); err != nil {
				return fmt.Errorf("%s.oneof[%d].regex: %w", key, n, err)
			}
		}
	}
	for n, p := range m.Param {
		if p == nil {
			continue
		}
		if _, err := regexp.Compile(p.Value.Regex); err != nil {
			return fmt.Errorf("param[%d].value.regex: %w", n, err)
		}
	}
	return nil
}

// Consumer is who calls: a reference of an application on a machine.
type Consumer struct {
	Host    string // IP address
	App     string
	Service *common.URL // the reference
}

// Reference adds what the rule says of the whole reference to out, which may be nil,
// and returns it: the items that name no provider.
func (r *Rule) Reference(c Consumer, out map[string]string) map[string]string {
	return r.add(c, nil, out)
}

// Provider adds what the rule says of one provider of the reference to out, which may
// be nil, and returns it. Of items that name the same key the last one counts.
func (r *Rule) Provider(c Consumer, provider *common.URL, out map[string]string) map[string]string {
	return r.add(c, provider, out)
}

func (r *Rule) add(c Consumer, provider *common.URL, out map[string]string) map[string]string {
	if r == nil {
		return out
	}
	for n := range r.items {
		i := &r.items[n]
		if !i.of(c) || provider == nil && i.picky() || provider != nil && !i.meets(provider) {
			continue
		}
		for key, value := range i.Params {
			if condition(key) {
				continue
			}
			if out == nil {
				out = make(map[string]string, len(i.Params))
			}
			out[key] = value
		}
	}
	return out
}

// of reports whether the item is for the consumer.
func (i *item) of(c Consumer) bool {
	if len(i.Consumers) > 0 && !slices.ContainsFunc(i.Consumers, func(a string) bool { return address(a, c.Host, c.Host) }) {
		return false
	}
	if len(i.Apps) > 0 && !slices.Contains(i.Apps, c.App) && !slices.Contains(i.Apps, constant.AnyValue) {
		return false
	}
	if len(i.Services) > 0 && !slices.ContainsFunc(i.Services, func(s string) bool {
		return s == constant.AnyValue || s == c.Service.ServiceKey() || s == c.Service.Service()
	}) {
		return false
	}
	m := i.Match
	return m == nil ||
		(m.Consumer == nil || m.Consumer.IsMatch(c.Host)) &&
			(m.Service == nil || m.Service.IsMatch(c.Service.ServiceKey())) &&
			(m.App == nil || m.App.IsMatch(c.App))
}

// picky reports that the item is for some providers only.
func (i *item) picky() bool {
	for key := range i.Params {
		if strings.HasPrefix(key, "~") {
			return true
		}
	}
	return len(i.Providers) > 0 && !slices.Contains(i.Providers, constant.AnyHostValue) ||
		i.Match != nil && (i.Match.Provider != nil || len(i.Match.Param) > 0)
}

// meets reports whether the item is for the provider.
func (i *item) meets(u *common.URL) bool {
	if len(i.Providers) > 0 && !slices.ContainsFunc(i.Providers, func(a string) bool { return address(a, u.Location, u.Ip) }) {
		return false
	}
	for key, value := range i.Params {
		if own, ok := strings.CutPrefix(key, "~"); ok && value != constant.AnyValue && value != u.GetParam(own, "") {
			return false
		}
	}
	m := i.Match
	if m == nil {
		return true
	}
	if m.Provider != nil && !m.Provider.IsMatch(u.Location) && !m.Provider.IsMatch(u.Ip) {
		return false
	}
	for _, p := range m.Param {
		if p != nil && !p.IsMatch(u) {
			return false
		}
	}
	return true
}

// address reports whether an address of a rule, ip or ip:port, means host:port or ip;
// 0.0.0.0 means all.
func address(rule, location, ip string) bool {
	if rule == constant.AnyHostValue || rule == constant.AnyValue || rule == location || rule == ip {
		return true
	}
	host, port, err := net.SplitHostPort(rule)
	_, own, errOwn := net.SplitHostPort(location)
	return err == nil && errOwn == nil && host == constant.AnyHostValue && port == own
}

// condition tells the parameters of a rule that say for whom it is.
func condition(key string) bool {
	switch key {
	case constant.CategoryKey, constant.CheckKey, constant.EnabledKey, constant.GroupKey, constant.VersionKey,
		constant.ApplicationKey, constant.SideKey, constant.ConfigVersionKey, constant.CompatibleConfigKey, "dynamic", "interfaces":
		return true
	}
	return strings.HasPrefix(key, "~")
}
