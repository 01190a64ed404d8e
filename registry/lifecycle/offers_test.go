// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
)

// mapped notes which services were mapped.
type mapped struct {
	mapping.ServiceNameMapping

	mu       sync.Mutex
	services []string
	err      error
}

// since returns what was mapped since the last call; err is what mapping answers from
// now on.
func (m *mapped) since(err error) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.services
	m.services, m.err = nil, err
	return out
}

func (m *mapped) Map(u *common.URL) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.services = append(m.services, u.Service())
	return m.err
}

// Every 10 s, to the nanosecond, each service is mapped again, whatever came of it the
// last time, except those that were withdrawn; not after the instance leaves.
func TestMappingsAreKept(t *testing.T) {
	m := &mapped{}
	extension.SetGlobalServiceNameMapping(func() mapping.ServiceNameMapping { return m })
	t.Cleanup(func() {
		extension.SetGlobalServiceNameMapping(func() mapping.ServiceNameMapping { return noMapping{} })
	})
	synctest.Test(t, func(t *testing.T) {
		man := newTestManager()
		r := man.registrarFor(registryURL(t, constant.ServiceRegistryProtocol, "127.0.0.1:8848", "a"))
		for _, name := range []string{"com.shop.A", "com.shop.B", "com.shop.C"} {
			u := common.NewURLWithOptions(common.WithInterface(name))
			r.services = append(r.services, &service{original: u, withdrawn: name == "com.shop.B"})
		}
		go r.keepOffers()
		want := []string{"com.shop.A", "com.shop.C"}
		time.Sleep(offersEvery - 1)
		synctest.Wait()
		if got := m.since(nil); len(got) != 0 {
			t.Errorf("mapped too early: %v", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := m.since(errors.New("no config centre")); !slices.Equal(got, want) {
			t.Errorf("mapped %v, want %v", got, want)
		}
		time.Sleep(offersEvery)
		synctest.Wait()
		if got := m.since(nil); !slices.Equal(got, want[:1]) {
			t.Errorf("mapped %v where that fails, want %v", got, want[:1])
		}
		time.Sleep(offersEvery)
		synctest.Wait()
		if got := m.since(nil); !slices.Equal(got, want) {
			t.Errorf("after a failure: mapped %v, want %v", got, want)
		}
		close(man.stop)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := m.since(nil); len(got) != 0 {
			t.Errorf("mapped by one that leaves: %v", got)
		}
	})
}
