// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"

	"github.com/graylane/graylane/internal/conf"
)

func TestMapUserShutdown(t *testing.T) {
	def := conf.Default().Shutdown
	for _, tc := range []struct {
		name string
		user func(*global.ShutdownConfig)
		ours func(*conf.Shutdown)
		want func(*conf.Shutdown)
	}{
		{"nothing set", func(*global.ShutdownConfig) {}, func(*conf.Shutdown) {}, func(*conf.Shutdown) {}},
		{
			"all three",
			func(u *global.ShutdownConfig) {
				u.Timeout, u.ConsumerUpdateWaitTime, u.OfflineRequestWindowTimeout = "40s", "5s", "2s"
			},
			func(*conf.Shutdown) {},
			func(s *conf.Shutdown) {
				s.Timeout, s.Notice, s.QuietPeriod = 40*time.Second, 5*time.Second, 2*time.Second
			},
		},
		{
			"ours wins", func(u *global.ShutdownConfig) { u.Timeout = "40s" },
			func(s *conf.Shutdown) { s.Timeout = 20 * time.Second }, func(s *conf.Shutdown) { s.Timeout = 20 * time.Second },
		},
		{"no duration", func(u *global.ShutdownConfig) { u.Timeout = "40" }, func(*conf.Shutdown) {}, func(*conf.Shutdown) {}},
		{"out of our bounds", func(u *global.ShutdownConfig) { u.Timeout = "2h" }, func(*conf.Shutdown) {}, func(*conf.Shutdown) {}},
	} {
		user, c, want := global.DefaultShutdownConfig(), conf.Default(), def
		tc.user(user)
		tc.ours(&c.Shutdown)
		tc.want(&want)
		MapUserShutdown(user, &c)
		if c.Shutdown != want {
			t.Errorf("%s: %+v, want %+v", tc.name, c.Shutdown, want)
		}
	}
	c := conf.Default()
	MapUserShutdown(nil, &c)
}

func TestDecorateService(t *testing.T) {
	for _, tc := range []struct {
		name, env, service, byDefault, application string
		want                                       string
	}{
		{"none", "", "", "", "", ""},
		{"the application's only", "", "", "", "gray", "gray"},
		{"the service's only", "", "gray", "", "", "gray"},
		{"the service's before the application's", "", "blue", "gray", "gray", "blue"},
		{"the environment before all", "env", "blue", "gray", "red", "env"},
		{"the argument before the application's", "", "", "gray", "red", "gray"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Setenv(EnvTag, tc.env)
			u := common.NewURLWithOptions()
			for k, v := range map[string]string{constant.Tagkey: tc.service, constant.ApplicationTagKey: tc.application} {
				if v != "" {
					u.SetParam(k, v)
				}
			}
			DecorateService(u, tc.byDefault)
			for _, k := range []string{constant.Tagkey, constant.ApplicationTagKey} {
				if got := u.GetParam(k, ""); got != tc.want {
					t.Errorf("%s = %q, want %q", k, got, tc.want)
				}
			}
		})
	}
}

func TestDecorateServiceEndsTheStartOnABadTag(t *testing.T) {
	for _, tc := range []struct{ env, service, byDefault, application, say string }{
		{env: "a b", application: "gray", say: `graylane: GRAYLANE_TAG: got "a b": `},
		{service: "c d", say: `graylane: tag of the service shop.Cart: got "c d": `},
		{byDefault: "e f", say: `graylane: application.tag: got "e f": `},
		{application: "g h", say: `graylane: application.tag: got "g h": `},
	} {
		t.Setenv(EnvTag, tc.env)
		code := 0
		exit = func(c int) { code = c }
		u := common.NewURLWithOptions(common.WithInterface("shop.Cart"))
		u.SetParam(constant.Tagkey, tc.service)
		u.SetParam(constant.ApplicationTagKey, tc.application)
		said := stderr(t, func() { DecorateService(u, tc.byDefault) })
		exit = osExit
		if code != 1 || u.GetParam(constant.Tagkey, "") != tc.service {
			t.Errorf("%+v: exit code %d, tag %q; want 1 and no other", tc, code, u.GetParam(constant.Tagkey, ""))
		}
		if !strings.HasPrefix(said, tc.say) || strings.Count(said, "\n") != 1 {
			t.Errorf("%+v: said %q", tc, said)
		}
	}
}

// stderr returns what f writes there, which is little.
func stderr(t *testing.T, f func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stderr
	os.Stderr = w
	f()
	os.Stderr = old
	_ = w.Close()
	said, err := io.ReadAll(r)
	_ = r.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(said)
}

func TestCallerID(t *testing.T) {
	for app, want := range map[string]string{"order": "order-", "my shop;v2\n": "my_shop_v2_-", "": "-"} {
		if got := CallerID(app); got != want+Incarnation() {
			t.Errorf("CallerID(%q) = %q, want %q", app, got, want+Incarnation())
		}
	}
}

// A process that only calls others is ready when told, and no longer when it leaves.
func TestReadyWithoutServices(t *testing.T) {
	m := newTestManager()
	if err := m.readiness(); err == nil {
		t.Error("ready before it was told")
	}
	m.markReady()
	if err := m.readiness(); err != nil {
		t.Errorf("told, but: %v", err)
	}
	m.gate.Close()
	if err := m.readiness(); err == nil {
		t.Error("ready while leaving")
	}
}

func TestModeOffIsNotOurProbe(t *testing.T) {
	m := newTestManager()
	m.settings = func() *conf.Config { c := conf.Default(); c.Mode = conf.Off; return &c }
	if err := m.probeCheck(t.Context()); err != nil {
		t.Errorf("mode off: %v", err)
	}
}
