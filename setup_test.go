// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"os"
	"strings"
	"sync"
	"testing"

	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/failfast"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/filter/propagate"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

func TestMain(m *testing.M) {
	setup.Do(func() {}) // the tests set the settings themselves
	os.Exit(m.Run())
}

func inMode(t *testing.T, m Mode) {
	t.Helper()
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	c := Default()
	c.Mode = m
	conf.Set(c)
}

// dies runs f and returns the line with which it would have ended the process.
func dies(t *testing.T, f func()) (line string) {
	t.Helper()
	old := die
	t.Cleanup(func() { die = old })
	die = func(err error) { line += err.Error() }
	f()
	die = old
	return line
}

func withParams(pairs ...string) *common.URL {
	u := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithPath("com.shop.Order"), common.WithInterface("com.shop.Order"))
	for n := 0; n < len(pairs); n += 2 {
		u.SetParam(pairs[n], pairs[n+1])
	}
	return u
}

// TestReference: cluster and filters of a reference, in each mode.
func TestReference(t *testing.T) {
	for _, tc := range []struct {
		name           string
		mode           Mode
		cluster        string
		want, observed string
	}{
		{"unset", Enforce, "", lossless.Name, ""},
		{"dubbo-go's default", Enforce, constant.ClusterKeyFailover, lossless.Name, ""},
		{"an explicit one wins", Enforce, constant.ClusterKeyFailfast, constant.ClusterKeyFailfast, ""},
		{"observe", Observe, constant.ClusterKeyFailfast, lossless.ObserverName, constant.ClusterKeyFailfast},
		{"off", Off, constant.ClusterKeyFailover, constant.ClusterKeyFailover, ""},
	} {
		inMode(t, tc.mode)
		u := withParams(constant.ClusterKey, tc.cluster, constant.ReferenceFilterKey, constant.GracefulShutdownConsumerFilterKey)
		line := dies(t, func() { processor{}.PostProcessReferenceConfig(u) })
		if line != "" {
			t.Errorf("%s: died: %s", tc.name, line)
		}
		if got := u.GetParam(constant.ClusterKey, ""); got != tc.want {
			t.Errorf("%s: cluster %q, want %q", tc.name, got, tc.want)
		}
		if got := u.GetParam(lossless.ObservedCluster, ""); got != tc.observed {
			t.Errorf("%s: observed cluster %q, want %q", tc.name, got, tc.observed)
		}
		if _, err := extension.GetCluster(lossless.Name); err != nil {
			t.Error(err)
		}
	}
	inMode(t, Enforce)
	u := withParams(constant.ReferenceFilterKey, constant.GracefulShutdownConsumerFilterKey)
	processor{}.PostProcessReferenceConfig(u)
	if f := u.GetParam(constant.ReferenceFilterKey, ""); strings.Contains(f, constant.GracefulShutdownConsumerFilterKey) {
		t.Errorf("filters %q: dubbo-go's shutdown filter stays", f)
	}
}

// TestServiceFilters: ours first and once, dubbo-go's shutdown filter replaced,
// names of its default list that nobody imported dropped; none of ours on
// dubbo-go's own services; any other unknown name ends the start with its name.
func TestServiceFilters(t *testing.T) {
	const ours = shutdown.Name + "," + propagate.Name
	for _, tc := range []struct {
		name, service, filters, want, dies string
	}{
		{"nothing set", "com.shop.Order", "", ours, ""},
		{"dubbo-go's default list", "com.shop.Order", constant.DefaultServiceFilters, ours + ",echo", ""},
		{"named already", "com.shop.Order", "echo," + propagate.Name, ours + ",echo", ""},
		{"spaces", "com.shop.Order", " echo , ", ours + ",echo", ""},
		{"health", "grpc.health.v1.Health", "echo," + constant.GracefulShutdownProviderFilterKey, "graylane-watch,echo", ""},
		{"reflection", "grpc.reflection.v1.ServerReflection", "echo", "graylane-watch,echo", ""},
		{"metadata", "org.apache.dubbo.metadata.MetadataService", "echo", "graylane-watch,echo", ""},
		{"unknown", "com.shop.Order", "echo,my-fitler", ours + ",echo", `"my-fitler"`},
	} {
		inMode(t, Enforce)
		u := withParams(constant.InterfaceKey, tc.service, constant.ServiceFilterKey, tc.filters)
		line := dies(t, func() { processor{}.PostProcessServiceConfig(u) })
		if tc.dies == "" && line != "" || !strings.Contains(line, tc.dies) {
			t.Errorf("%s: died with %q, want %q", tc.name, line, tc.dies)
		}
		// Which of the default list are imported depends on the program.
		got := u.GetParam(constant.ServiceFilterKey, "")
		for f := range strings.SplitSeq(got, ",") {
			if _, ok := extension.GetFilter(f); !ok {
				t.Errorf("%s: %q of %q is not registered", tc.name, f, got)
			}
		}
		if tc.filters == constant.DefaultServiceFilters {
			if !strings.HasPrefix(got, ours+",echo") || strings.Contains(got, constant.GracefulShutdownProviderFilterKey) {
				t.Errorf("%s: filters %q", tc.name, got)
			}
		} else if got != tc.want {
			t.Errorf("%s: filters %q, want %q", tc.name, got, tc.want)
		}
	}
	inMode(t, Off)
	u := withParams(constant.ServiceFilterKey, "echo,pshutdown")
	processor{}.PostProcessServiceConfig(u)
	if got := u.GetParam(constant.ServiceFilterKey, ""); got != "echo,pshutdown" {
		t.Errorf("mode off: filters %q", got)
	}
}

// TestStartDies: bad settings end the start with one line.
func TestStartDies(t *testing.T) {
	fresh(t)
	t.Setenv(EnvMode, "fast")
	setup = sync.Once{}
	line := dies(t, func() { start(withParams()) })
	if !strings.Contains(line, "GRAYLANE_MODE=fast") || strings.Contains(line, "\n") {
		t.Errorf("died with %q", line)
	}
}

// TestSummary: the start-up line says the mode and what differs from dubbo-go.
func TestSummary(t *testing.T) {
	for _, tc := range []struct {
		change func(*Config)
		say    string
	}{
		{func(*Config) {}, "not retried"},
		{func(*Config) {}, "calls without tag are served by the baseline only,"},
		{func(c *Config) { c.Routing.UntaggedFallback = "any" }, "served by the baseline, without one by tagged instances,"},
		{func(c *Config) { c.Mode = Off }, "off: dubbo-go's own"},
		{func(c *Config) { c.Mode = Observe }, "observe:"},
		{func(c *Config) { c.Retry.Unknown = "dubbo" }, "where retries are set"},
		{func(c *Config) { c.Retry.Idempotent = []string{"a/B", "a/C"} }, "2 idempotent methods"},
	} {
		c := Default()
		tc.change(&c)
		if got := summary(c); !strings.Contains(got, tc.say) || strings.Contains(got, "\n") {
			t.Errorf("summary %q does not say %q in one line", got, tc.say)
		}
	}
}

// TestUnknownBalancer: a balancer that nobody registered ends the start with one line
// that has key, name and the known ones, in the modes in which Graylane looks at all.
func TestUnknownBalancer(t *testing.T) {
	for _, tc := range []struct {
		key, name string
		dies      bool
	}{
		{constant.LoadbalanceKey, "warmup", false},
		{constant.LoadbalanceKey, "", false},
		{constant.LoadbalanceKey, "roundrobbin", true},
		{"methods.Get.loadbalance", "warmup", false},
		{"methods.Get.loadbalance", "fastest", true},
	} {
		for _, mode := range []Mode{Enforce, Observe, Off} {
			inMode(t, mode)
			line := dies(t, func() { processor{}.PostProcessReferenceConfig(withParams(tc.key, tc.name)) })
			if want := tc.dies && mode != Off; (line != "") != want {
				t.Errorf("%s: %q, mode %s: died with %q", tc.key, tc.name, mode, line)
			}
			for _, part := range []string{tc.key + " of com.shop.Order", `"` + tc.name + `"`, "want one of", "warmup"} {
				if line != "" && (!strings.Contains(line, part) || strings.Contains(line, "\n")) {
					t.Errorf("died with %q, want %q in one line", line, part)
				}
			}
		}
	}
}

// TestUnknownCluster: a cluster that nobody registered ends the start with one line that
// has key, reference and name, in the modes in which Graylane looks at all. dubbo-go
// goes on without an invoker, and the first call panics.
func TestUnknownCluster(t *testing.T) {
	for _, mode := range []Mode{Enforce, Observe, Off} {
		inMode(t, mode)
		want := `cluster of com.shop.Order: unknown cluster "nope": is its package imported?`
		if mode == Off {
			want = ""
		}
		line := dies(t, func() { processor{}.PostProcessReferenceConfig(withParams(constant.ClusterKey, "nope")) })
		if line != want {
			t.Errorf("mode %s: died with %q, want %q", mode, line, want)
		}
	}
}

// TestBadTagOfAConsumer: ends the start with one line that has its key and value.
func TestBadTagOfAConsumer(t *testing.T) {
	for _, tc := range []struct{ env, own, say string }{
		{"", "", ""},
		{"gray", "blue|a", ""},
		{"a b", "", `GRAYLANE_TAG: got "a b": `},
		{"", "c d", `dubbo.tag of the reference to com.shop.Order: got "c d": `},
	} {
		t.Setenv(EnvTag, tc.env)
		for _, mode := range []Mode{Enforce, Observe, Off} {
			inMode(t, mode)
			line := dies(t, func() { processor{}.PostProcessReferenceConfig(withParams(constant.Tagkey, tc.own)) })
			if want := tc.say != "" && mode != Off; (line != "") != want || !strings.HasPrefix(line, tc.say) && want || strings.Contains(line, "\n") {
				t.Errorf("%+v, mode %s: died with %q", tc, mode, line)
			}
		}
	}
}
