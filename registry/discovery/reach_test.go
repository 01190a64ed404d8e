// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// unrequired sets register.require false for the test, and register.timeout.
func unrequired(t *testing.T, timeout time.Duration) conf.Register {
	t.Helper()
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	c := conf.Default()
	c.Register.Require, c.Register.Timeout = false, timeout
	conf.Set(c)
	return c.Register
}

// referTo makes a reference over a registry, and says how long that held the caller up.
func referTo(t *testing.T, protocol, location string) (i base.Invoker, took time.Duration) {
	t.Helper()
	u := registryURL()
	u.Protocol, u.Location = protocol, location
	u.SetParam(constant.RegistryKey, protocol)
	u.SubURL.SetParam(constant.ClusterKey, lossless.Name)
	began := time.Now()
	if i = Refer(u); i == nil {
		t.Fatal("no invoker")
	}
	return i, time.Since(began)
}

// TestOneReferenceWaits: nobody listens where the registry was. The first reference tries
// for register.timeout, each further one once, and none of them waits.
func TestOneReferenceWaits(t *testing.T) {
	tries := 0
	old := dial
	t.Cleanup(func() { dial = old })
	dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		tries++
		return old(ctx, network, address)
	}
	c, dead := unrequired(t, 500*time.Millisecond), ports.Dead() // shorter than the pause of those who try on
	synctest.Test(t, func(t *testing.T) {
		var refs []base.Invoker
		for n := range 5 {
			tries = 0
			ref, took := referTo(t, "fakereg", dead)
			refs = append(refs, ref)
			if n == 0 && (tries < 2 || took != c.Timeout) {
				t.Errorf("the first: %d tries in %v, want several in %v", tries, took, c.Timeout)
			}
			if n > 0 && (tries != 1 || took != 0) {
				t.Errorf("reference %d: %d tries in %v, want one at once", n, tries, took)
			}
		}
		for _, ref := range refs {
			ref.Destroy()
		}
		time.Sleep(2 * redial) // those who try on have seen it
	})
}

// hungRegistry takes connections, and answers when it no longer hangs.
type hungRegistry struct {
	fakeRegistry
	hangs *atomic.Bool
}

func (r *hungRegistry) Check(ctx context.Context) error {
	if r.hangs.Load() {
		<-ctx.Done()
	}
	return ctx.Err()
}

// TestHungRegistry: steps
//
//  1. the first reference waits for register.timeout, the second a glance
//  2. half a minute after that was last found so, one waits again: perhaps it is back
//  3. the registry answers: a glance is enough, and it is not remembered any more
//  4. those who went on without it have found it
//  5. a process that requires it always waits.
func TestHungRegistry(t *testing.T) {
	c := unrequired(t, 6*time.Second)
	synctest.Test(t, func(t *testing.T) {
		newWire()
		registries.list = []*common.URL{providerURL(1, "a", 100)}
		var hangs atomic.Bool
		hangs.Store(true)
		extension.SetRegistry("hungreg", func(u *common.URL) (registry.Registry, error) {
			return &hungRegistry{fakeRegistry{url: u}, &hangs}, nil
		})
		refer := func(step string, want time.Duration) base.Invoker {
			t.Helper()
			ref, took := referTo(t, "hungreg", "fake")
			if took != want {
				t.Errorf("%s: waited %v, want %v", step, took, want)
			}
			return ref
		}
		// 1
		refs := []base.Invoker{refer("the first", c.Timeout), refer("the second", glance)}
		for _, ref := range refs {
			ref.Destroy() // so that they do not find it dead again and again
		}
		time.Sleep(silentFor - time.Nanosecond)
		u := registryURL()
		u.Location = "fake"
		u.SetParam(constant.RegistryKey, "hungreg")
		if _, once := patience(u, c); !once {
			t.Errorf("waits again before %v", silentFor)
		}
		// 2
		time.Sleep(time.Nanosecond)
		refs = []base.Invoker{refer("half a minute later", c.Timeout), refer("another", glance)}
		// 3
		hangs.Store(false)
		refs = append(refs, refer("it answers", 0))
		if timeout, once := patience(u, c); timeout != c.Timeout || once {
			t.Errorf("still remembered: %v, once %t", timeout, once)
		}
		// 4
		time.Sleep(time.Minute)
		for n, ref := range refs {
			if !ref.IsAvailable() {
				t.Errorf("reference %d has not found the registry", n)
			}
			ref.Destroy()
		}
		// 5
		silent.note(u, context.DeadlineExceeded)
		c.Require = true
		if timeout, once := patience(u, c); timeout != c.Timeout || once {
			t.Errorf("required: %v, once %t", timeout, once)
		}
		silent.note(u, nil)
		time.Sleep(time.Minute)
		for key := range subscriptions.m {
			if strings.HasPrefix(key, "hungreg|") {
				delete(subscriptions.m, key) // of this bubble
			}
		}
	})
}
