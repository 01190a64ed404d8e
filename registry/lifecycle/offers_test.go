// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/metadata/mapping"
	dubbosmapping "dubbo.apache.org/dubbo-go/v3/metadata/mapping/metadata"
	metareport "dubbo.apache.org/dubbo-go/v3/metadata/report"
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
		if got := m.since(nil); !slices.Equal(got, want) {
			t.Errorf("mapped %v where that fails, want %v", got, want)
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

// storage is a metadata report that can be away.
type storage struct {
	metareport.MetadataReport

	mu     sync.Mutex
	asked  int               // mappings that were to be written
	mapped map[string]string // service -> application
	err    error
}

func (s *storage) CreateMetadataReport(*common.URL) metareport.MetadataReport { return s }

func (s *storage) RegisterServiceAppMapping(service, _, application string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.err == nil {
		s.mapped[service] = application
	}
	return s.err
}

func (s *storage) GetAppMetadata(string, string) (*info.MetadataInfo, error) {
	return nil, errors.New("none")
}

func (s *storage) PublishAppMetadata(application, revision string, _ *info.MetadataInfo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.mapped["metadata"] = application + " " + revision
	}
	return s.err
}

// One report is away, another one has lost everything: all is written there, the
// metadata, too; the one that is away is asked once a round and not for each service.
// Meanwhile a registration writes the revision, as dubbo-go does, without a lock of the
// metadata.
func TestOneReportIsAway(t *testing.T) {
	extension.SetGlobalServiceNameMapping(dubbosmapping.GetNameMappingInstance)
	away := &storage{mapped: make(map[string]string), err: errors.New("away")}
	empty := &storage{mapped: make(map[string]string)}
	for id, s := range map[string]*storage{"offers-away": away, "offers-empty": empty} {
		extension.SetMetadataReportFactory(id, func() metareport.MetadataReportFactory { return s })
		opts := metadata.NewReportOptions(metadata.WithRegistryId(id), metadata.WithProtocol(id), metadata.WithAddress("127.0.0.1:1"))
		if err := opts.Init(); err != nil {
			t.Fatal(err)
		}
	}
	if err := metadata.NewOptions(metadata.WithMetadataType(constant.RemoteMetadataStorageType)).Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		metadata.ClearMetadataReportInstances()
		_ = metadata.NewOptions().Init() // the default again; it exports nothing a second time
		extension.SetGlobalServiceNameMapping(func() mapping.ServiceNameMapping { return noMapping{} })
	})
	r := newTestManager().registrarFor(registryURL(t, constant.ServiceRegistryProtocol, "127.0.0.1:8848", "offers-empty"))
	for _, name := range []string{"com.shop.A", "com.shop.B"} {
		u := common.NewURLWithOptions(common.WithInterface(name), common.WithParamsValue(constant.ApplicationKey, "shop"))
		r.services = append(r.services, &service{original: u})
		metadata.AddService("offers-empty", u)
	}
	live := metadata.GetMetadataInfo("offers-empty")
	var registering sync.WaitGroup
	registering.Go(func() {
		r.ops.Lock()
		defer r.ops.Unlock()
		live.Revision = "7"
	})
	const rounds = 2
	for range rounds {
		if err := r.offer(); !errors.Is(err, away.err) {
			t.Errorf("offer: %v, want what is wrong with the one that is away", err)
		}
		registering.Wait()
	}
	want := map[string]string{"com.shop.A": "shop", "com.shop.B": "shop", "metadata": "shop 7"}
	if !maps.Equal(empty.mapped, want) {
		t.Errorf("got %v, want %v", empty.mapped, want)
	}
	if away.asked != rounds {
		t.Errorf("the one that is away was asked %d times in %d rounds", away.asked, rounds)
	}
}
