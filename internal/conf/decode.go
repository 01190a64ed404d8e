// SPDX-License-Identifier: Apache-2.0

package conf

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-viper/mapstructure/v2"

	"github.com/graylane/graylane/internal/hop"
)

// Root is the path of the settings in dubbogo.yml.
const Root = "dubbo.custom.config-map.graylane"

// Decode reads the map below [Root] over base. Every fault is reported at once,
// each with its key path: an unknown key, a wrong type, a value out of range. A key
// without a value keeps that of base.
func Decode(m map[string]any, base Config) (Config, error) {
	c := base
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:     &c,
		ZeroFields: true, // a list replaces that of base
		DecodeHook: mapstructure.ComposeDecodeHookFunc(strictDuration, mapstructure.TextUnmarshallerHookFunc()),
		MatchName:  func(key, field string) bool { return key == field },
	})
	if err != nil {
		return base, fmt.Errorf("%s: %w", Root, err)
	}
	var types []error // one a value of the wrong type
	if err := d.Decode(prepare(m)); err != nil {
		types = flatten(err, m)
	}
	errs := append(slices.Clone(types), unknown(m, reflect.TypeFor[Config](), Root)...)
	if bounds, ok := c.Validate().(interface{ Unwrap() []error }); ok {
		for _, e := range bounds.Unwrap() {
			if !slices.ContainsFunc(types, func(f error) bool { return halfRead(f, e) }) {
				errs = append(errs, e)
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return base, err
	}
	return c, nil
}

// halfRead reports that bound speaks of a value that could not be read, which fault
// says already. An entry of a list that could not be read is empty; the others stand.
func halfRead(fault, bound error) bool {
	path, _, _ := strings.Cut(fault.Error(), ": ")
	key, _, entry := strings.Cut(path, "[")
	return strings.HasPrefix(bound.Error(), key+": ") && (!entry || strings.HasPrefix(bound.Error(), key+`: got "",`))
}

// unknown finds the keys that no field has. The decoder could, but reports none
// of them beside a wrong type.
func unknown(m map[string]any, t reflect.Type, path string) []error {
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(m)) {
		known := false
		for n := range t.NumField() {
			f := t.Field(n)
			if f.Tag.Get("mapstructure") != key {
				continue
			}
			known = true
			if sub, ok := m[key].(map[string]any); ok && f.Type.Kind() == reflect.Struct {
				errs = append(errs, unknown(sub, f.Type, path+"."+key)...)
			}
		}
		if !known {
			errs = append(errs, fmt.Errorf("%s.%s: unknown key", path, key))
		}
	}
	return errs
}

// prepare leaves out keys without a value, which the decoder would read as zero,
// and lets a curve or a weight be written as a bare number.
func prepare(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		if v == nil {
			continue
		}
		if sub, ok := v.(map[string]any); ok {
			v = prepare(sub)
		}
		if k == "curve" || k == "publish-weight" {
			switch n := v.(type) {
			case int, int64, float64:
				v = fmt.Sprint(n)
			}
		}
		out[k] = v
	}
	return out
}

// strictDuration wants a unit: a bare number would be read as nanoseconds. What is
// wrong says [wrongType].
func strictDuration(_, to reflect.Type, v any) (any, error) {
	if to != reflect.TypeFor[time.Duration]() {
		return v, nil
	}
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("no duration")
	}
	return time.ParseDuration(s)
}

// flatten turns the decoder's joined error into one line a fault, with our path.
func flatten(err error, m map[string]any) []error {
	if de, ok := err.(*mapstructure.DecodeError); ok { //nolint:errorlint // not one further down: there may be several
		return []error{wrongType(m, de.Name())}
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, e := range joined.Unwrap() {
			out = append(out, flatten(e, m)...)
		}
		return out
	}
	if u := errors.Unwrap(err); u != nil {
		return flatten(u, m)
	}
	return []error{fmt.Errorf("%s: %s", Root, strings.ReplaceAll(err.Error(), "\n", "; "))}
}

// wrongType says of the value at path in m, which is of the wrong type, what it is
// and what is allowed: in the words of Validate, to which a default configuration
// with an impossible value there is shown.
func wrongType(m map[string]any, path string) error {
	key, entry, isEntry := strings.Cut(path, "[")
	var got any = m
	c := Default()
	field := reflect.ValueOf(&c).Elem()
	for name := range strings.SplitSeq(key, ".") {
		section, _ := got.(map[string]any)
		got = section[name]
		field = field.FieldByIndex(fieldOf(field.Type(), name))
	}
	if list, ok := got.([]any); ok && isEntry {
		if n, err := strconv.Atoi(strings.TrimSuffix(entry, "]")); err == nil && n < len(list) {
			got = list[n]
		}
	}
	if s, ok := got.(string); ok {
		got = strconv.Quote(s)
	}
	want := ""
	switch field.Kind() { //nolint:exhaustive // the kinds that settings have
	case reflect.Bool:
		want = "true or false"
	case reflect.Int64:
		field.SetInt(-1)
		want = "a duration with a unit such as 10s, "
	case reflect.Float64:
		field.SetFloat(-1)
	case reflect.String:
		field.SetString(" ")
	case reflect.Slice:
		field.Set(reflect.ValueOf([]string{" "}))
		want = "a list of "
	default:
		want = "a map of settings"
	}
	if isEntry {
		want = ""
	}
	if err := c.Validate(); err != nil {
		_, bound, _ := strings.Cut(err.Error(), ", want ")
		want += bound
	}
	return fmt.Errorf("%s.%s: got %v, want %s", Root, path, got, want)
}

// fieldOf returns the index of the field that has a key, which there is.
func fieldOf(t reflect.Type, key string) []int {
	for n := range t.NumField() {
		if t.Field(n).Tag.Get("mapstructure") == key {
			return []int{n}
		}
	}
	return nil
}

// Validate reports every value out of range, each with key, value and bound.
func (c *Config) Validate() error {
	var errs []error
	bad := func(key string, got any, want string) {
		errs = append(errs, fmt.Errorf("%s.%s: got %v, want %s", Root, key, got, want))
	}
	oneOf := func(key, got string, names ...string) {
		if slices.Contains(names, got) {
			return
		}
		bad(key, strconv.Quote(got), strings.Join(names, " or "))
	}
	dur := func(key string, got, lo, hi time.Duration) {
		if got < lo || got > hi {
			bad(key, got, fmt.Sprintf("%v to %v", lo, hi))
		}
	}
	num := func(key string, got, lo, hi float64) {
		if !(got >= lo && got <= hi) {
			bad(key, got, fmt.Sprintf("%v to %v", lo, hi))
		}
	}
	oneOf("mode", string(c.Mode), string(Enforce), string(Observe), string(Off))
	oneOf("routing.untagged-fallback", c.Routing.UntaggedFallback, "none", "any")
	oneOf("routing.compat", c.Routing.Compat, "graylane", "java")
	for _, k := range c.Propagate.Keys {
		if !headerName(k) {
			bad("propagate.keys", strconv.Quote(k), "header names in lower-case ASCII, such as x-user")
		} else if hop.Reserved(k) {
			bad("propagate.keys", strconv.Quote(k), "keys of your own: this one is set anew for each call")
		}
	}
	dur("register.delay", c.Register.Delay, 0, time.Hour)
	dur("register.timeout", c.Register.Timeout, 100*time.Millisecond, 10*time.Minute)
	if _, err := c.Register.Weight(); err != nil {
		errs = append(errs, err)
	}
	checkBounds(c.Register.Check, bad, dur)
	dur("warmup.window", c.Warmup.Window, 0, 24*time.Hour)
	if _, err := c.Warmup.Exponent(); err != nil {
		errs = append(errs, err)
	}
	num("warmup.min-percent", c.Warmup.MinPercent, 0, 100)
	num("warmup.max-boost", c.Warmup.MaxBoost, 1, 100)
	dur("shutdown.quiet-period", c.Shutdown.QuietPeriod, 0, time.Minute)
	dur("shutdown.notice", c.Shutdown.Notice, 0, 10*time.Minute)
	dur("shutdown.timeout", c.Shutdown.Timeout, 100*time.Millisecond, time.Hour)
	dur("shutdown.registry-timeout", c.Shutdown.RegistryTimeout, 10*time.Millisecond, time.Minute)
	oneOf("retry.unknown", c.Retry.Unknown, "never", "idempotent", "dubbo")
	for _, m := range c.Retry.Idempotent {
		if svc, method, _ := strings.Cut(m, "/"); svc == "" || method == "" || strings.Contains(method, "/") || strings.ContainsFunc(m, unicode.IsSpace) {
			bad("retry.idempotent", strconv.Quote(m), `"interface/Method", one slash and no spaces`)
		}
	}
	num("retry.budget-percent", c.Retry.BudgetPercent, 0, 100)
	dur("outlier.base-ejection-time", c.Outlier.BaseEjectionTime, 10*time.Millisecond, time.Hour)
	dur("outlier.max-ejection-time", c.Outlier.MaxEjectionTime, c.Outlier.BaseEjectionTime, 24*time.Hour)
	num("outlier.max-ejection-percent", c.Outlier.MaxEjectionPercent, 0, 100)
	dur("discovery.empty-protection", c.Discovery.EmptyProtection, 0, time.Hour)
	return errors.Join(errs...)
}

// checkBounds is the part of Validate for register.check.
func checkBounds(k Check, bad func(key string, got any, want string), dur func(key string, got, lo, hi time.Duration)) {
	if k.HTTP != "" && !httpURL(k.HTTP) {
		bad("register.check.http", strconv.Quote(k.HTTP), "a URL such as http://127.0.0.1:8080/ready")
	}
	if k.TCP != "" && !hostPort(k.TCP) {
		bad("register.check.tcp", strconv.Quote(k.TCP), "host:port")
	}
	if address, _, _ := strings.Cut(k.GRPC, "/"); k.GRPC != "" && !hostPort(address) {
		bad("register.check.grpc", strconv.Quote(k.GRPC), "host:port or host:port/service")
	}
	dur("register.check.interval", k.Interval, 10*time.Millisecond, time.Minute)
	dur("register.check.timeout", k.Timeout, 10*time.Millisecond, time.Minute)
	dur("register.check.limit", k.Limit, 100*time.Millisecond, time.Hour)
}

// headerName reports a header's name of RFC 9110, in the lower case in which
// HTTP/2 carries it.
func headerName(s string) bool {
	for _, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= '0' && r <= '9'
		if !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r) {
			return false
		}
	}
	return s != ""
}

func httpURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	n, bad := strconv.Atoi(port)
	return err == nil && host != "" && bad == nil && n > 0 && n <= 65535
}

// Exponent returns the power of the ramp: 1 for linear, 2 for quadratic.
func (w *Warmup) Exponent() (float64, error) {
	switch w.Curve {
	case "linear":
		return 1, nil
	case "quadratic":
		return 2, nil
	}
	p, err := strconv.ParseFloat(w.Curve, 64)
	if err != nil || !(p >= 0.1 && p <= 10) {
		return 0, fmt.Errorf("%s.warmup.curve: got %q, want linear, quadratic or a number from 0.1 to 10", Root, w.Curve)
	}
	return p, nil
}

// Weight returns the weight to publish, 0 for auto.
func (r *Register) Weight() (int, error) {
	if r.PublishWeight == "auto" {
		return 0, nil
	}
	n, err := strconv.Atoi(r.PublishWeight)
	if err != nil || n < 1 || n > 10000 {
		return 0, fmt.Errorf("%s.register.publish-weight: got %q, want auto or a number from 1 to 10000", Root, r.PublishWeight)
	}
	return n, nil
}
