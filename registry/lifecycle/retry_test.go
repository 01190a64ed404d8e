// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// A registration is tried again after 0.1 s, 0.2 s and so on, every 5 s at the end,
// until it succeeds: also where the registry panics. Who leaves meanwhile does not
// register any more.
func TestRegistrationIsRetried(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const succeeds = 10 // that try
			began := time.Now()
			var tries []time.Duration
			extension.SetRegistry("retried", func(u *common.URL) (registry.Registry, error) {
				tries = append(tries, time.Since(began))
				switch {
				case len(tries) == succeeds:
					return &fakeRegistry{url: u}, nil
				case len(tries)%2 == 0:
					panic("nobody home")
				default:
					return nil, errors.New("connection refused")
				}
			})
			m := newManager(shutdown.NewGate("0123456789abcdef"), func() *conf.Config {
				c := conf.Default()
				c.Register.Require = false
				return &c
			})
			m.openDoor()
			r := m.registrarFor(registryURL(t, "retried", "127.0.0.1:1", "a"))
			done := false
			if err := r.submit(func(registry.Registry) error { done = true; return nil }); err != nil {
				t.Fatal(err)
			}
			var want []time.Duration
			for _, ms := range []int{0, 100, 300, 700, 1500, 3100, 6300, 11300, 16300, 21300} {
				want = append(want, time.Duration(ms)*time.Millisecond)
			}
			if leaves {
				time.Sleep(time.Second)
				close(m.stop)
				want = want[:4]
			}
			time.Sleep(time.Minute)
			synctest.Wait()
			if !slices.Equal(tries, want) || done == leaves {
				t.Errorf("leaves %t: tries at %v, want %v; registered %t", leaves, tries, want, done)
			}
		})
	}
}
