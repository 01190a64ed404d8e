// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	clusterpkg "dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/registry/discovery"
)

// The benchmarks of this file look at a reference from inside: what a push of the
// registry costs until the snapshot of calls is a new one. Their registry and
// protocol answer at once; test/bench has whole calls.

const benchName = "lossless-bench"

// fleetRig is one reference to n providers, through Graylane's own directory.
type fleetRig struct {
	*Invoker
	dir       *discovery.Directory
	listener  registry.NotifyListener
	published chan struct{}
	first     []*registry.ServiceEvent
}

// benchRig is what the fakes fill while a rig is made: registries have no argument.
var benchRig struct {
	sync.Mutex
	*fleetRig
}

var installBench = sync.OnceFunc(func() {
	extension.SetProtocol(benchName, func() base.Protocol { return &benchProtocol{base.NewBaseProtocol()} })
	extension.SetRegistry(benchName, func(u *common.URL) (registry.Registry, error) { return benchRegistry{u}, nil })
	extension.SetCluster(Name, func() clusterpkg.Cluster { return benchCluster{} })
})

type benchProtocol struct{ base.BaseProtocol }

func (*benchProtocol) Refer(u *common.URL) base.Invoker { return &benchInvoker{base.NewBaseInvoker(u)} }

type benchInvoker struct{ *base.BaseInvoker }

type benchCluster struct{}

func (benchCluster) Join(d directory.Directory) base.Invoker {
	own := d.(*discovery.Directory)
	benchRig.dir, benchRig.Invoker = own, New(own, own)
	return benchRig.Invoker
}

type benchRegistry struct{ u *common.URL }

func (r benchRegistry) GetURL() *common.URL                                  { return r.u }
func (benchRegistry) IsAvailable() bool                                      { return true }
func (benchRegistry) Destroy()                                               {}
func (benchRegistry) Register(*common.URL) error                             { return nil }
func (benchRegistry) UnRegister(*common.URL) error                           { return nil }
func (benchRegistry) Subscribe(*common.URL, registry.NotifyListener) error   { return nil }
func (benchRegistry) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }
func (benchRegistry) LoadSubscribeInstances(_ *common.URL, l registry.NotifyListener) error {
	benchRig.listener = l
	l.NotifyAll(benchRig.first, nil)
	return nil
}

// benchURL is the n-th provider after so many restarts; one in ten is gray.
func benchURL(tb testing.TB, n, restarts int) *common.URL {
	tb.Helper()
	lane := ""
	if n%10 == 0 {
		lane = "gray"
	}
	started := time.Now().Add(-time.Hour).Add(time.Duration(restarts) * time.Second).UnixMilli()
	u, err := common.NewURL(fmt.Sprintf("%s://10.%d.%d.%d:20000/%s", benchName, n/62500, n/250%250, n%250, service),
		common.WithInterface(service), common.WithMethods([]string{"get", "put"}),
		common.WithParamsValue(constant.ApplicationKey, "order"),
		common.WithParamsValue(constant.Tagkey, lane),
		common.WithParamsValue(constant.WeightKey, strconv.Itoa(50+10*(n%16))),
		common.WithParamsValue(constant.ReleaseKey, "dubbo-golang-3.3.2"),
		common.WithParamsValue(constant.TimestampKey, strconv.FormatInt(started/1000, 10)),
		common.WithParamsValue(tag.MetaStartTime, strconv.FormatInt(started, 10)),
		common.WithParamsValue(tag.MetaWarmupTime, "0"),
		common.WithParamsValue(tag.MetaIncarnation, fmt.Sprintf("%012x%04x", restarts, n)))
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func benchReference() *common.URL {
	return common.NewURLWithOptions(common.WithProtocol(benchName), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(constant.ClusterKey, Name)) // any other makes the directory keep what dubbo-go's clusters need
}

func updates(urls []*common.URL) []*registry.ServiceEvent {
	events := make([]*registry.ServiceEvent, len(urls))
	for n, u := range urls {
		events[n] = &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u}
	}
	return events
}

// newFleetRig returns a reference whose endpoints are connected.
func newFleetRig(tb testing.TB, urls []*common.URL) *fleetRig {
	tb.Helper()
	installBench()
	benchRig.Lock()
	defer benchRig.Unlock()
	r := &fleetRig{published: make(chan struct{}, 1), first: updates(urls)}
	benchRig.fleetRig = r
	u := common.NewURLWithOptions(common.WithProtocol(constant.RegistryProtocol), common.WithIp("bench"),
		common.WithParamsValue(constant.RegistryKey, benchName))
	u.Location = "bench" // no address: nothing is dialled
	u.SubURL = benchReference()
	discovery.Refer(u)
	r.dir.Watch(func() {
		select {
		case r.published <- struct{}{}:
		default:
		}
	})
	r.await(tb, len(urls))
	r.first = nil
	return r
}

// await returns when n endpoints are published.
func (r *fleetRig) await(tb testing.TB, n int) {
	tb.Helper()
	for deadline := time.After(time.Minute); len(r.dir.Endpoints()) != n; {
		select {
		case <-r.published:
		case <-deadline:
			tb.Fatalf("%d endpoints, want %d", len(r.dir.Endpoints()), n)
		}
	}
}

// BenchmarkPush is a push of n providers of which one in a hundred has restarted on
// its address, from NotifyAll until the new ones are connected and the snapshot of
// calls holds them. Every URL is a new object, as registries make them; making them
// is not measured. listed-ns is the part until NotifyAll returns, which has read the
// list and published what stays. dubbo-ns is what dubbo-go alone takes to make invokers
// of the same new URLs, right after each push, and own-ns what is left without it.
// own-B/endpoint is the heap that a reference keeps beyond the providers' URLs and their
// invokers, which plain dubbo-go keeps, too.
func BenchmarkPush(b *testing.B) {
	for _, n := range []int{1000, 10_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) {
			urls := make([]*common.URL, n)
			for i := range urls {
				urls[i] = benchURL(b, i, 0)
			}
			dubbo := theirs(urls)
			before := heap()
			r := newFleetRig(b, urls)
			defer r.Destroy()
			own := float64(heap()-before-dubbo) / float64(n)

			var longest, listed, whole, making time.Duration
			least := time.Hour
			restarts := 0
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				restarts++
				var fresh []*common.URL
				for i := range urls {
					if i%100 == restarts%100 {
						urls[i] = benchURL(b, i, restarts)
						fresh = append(fresh, urls[i])
					} else {
						urls[i] = urls[i].Clone()
					}
				}
				events := updates(urls)
				runtime.GC() // what making them left
				old := r.view.cur.Load()
				b.StartTimer()
				began := time.Now() // the timer reads the heap's figures first
				r.listener.NotifyAll(events, nil)
				listed += time.Since(began)
				r.await(b, n)
				if s := r.view.fresh(false); s == old { // waits for the one that is being built
					b.Fatal("the snapshot is the old one")
				}
				took := time.Since(began)
				b.StopTimer()
				whole += took
				longest, least = max(longest, took), min(least, took)
				making += dubboMakes(fresh)
				b.StartTimer()
			}
			for _, e := range r.dir.Endpoints() {
				if e.Closing() {
					b.Fatalf("%s (%s) is closing", e.Address, e.Incarnation)
				}
			}
			b.ReportMetric(own, "own-B/endpoint")
			b.ReportMetric(float64(longest.Nanoseconds()), "max-ns")
			b.ReportMetric(float64(least.Nanoseconds()), "min-ns")
			b.ReportMetric(float64(listed.Nanoseconds())/float64(b.N), "listed-ns")
			b.ReportMetric(float64(making.Nanoseconds())/float64(b.N), "dubbo-ns")
			b.ReportMetric(float64((whole-making).Nanoseconds())/float64(b.N), "own-ns")
		})
	}
}

// dubboMakes returns how long dubbo-go's merging of the URLs with the reference and its
// protocol, behind the wrapper with the filters, take to make invokers of them: with
// all processors, for those of a push are made at once, too.
func dubboMakes(urls []*common.URL) time.Duration {
	ref := benchReference()
	var all sync.WaitGroup
	began := time.Now()
	for part := range slices.Chunk(urls, (len(urls)-1)/runtime.GOMAXPROCS(0)+1) {
		all.Go(func() {
			for _, u := range part {
				extension.GetProtocol(protocolwrapper.FILTER).Refer(u.MergeURL(ref))
			}
		})
	}
	all.Wait()
	return time.Since(began)
}

// theirs is the heap of the providers' invokers with their URLs, which any directory
// keeps.
func theirs(urls []*common.URL) int64 {
	before, ref := heap(), benchReference()
	list := make([]base.Invoker, len(urls))
	for i, u := range urls {
		list[i] = &benchInvoker{base.NewBaseInvoker(u.MergeURL(ref))}
	}
	used := heap() - before
	runtime.KeepAlive(list)
	return used
}

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

var _ endpoint.Source = (*discovery.Directory)(nil)
