// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/aliasmethod"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/consistenthashing"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/iwrr"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/leastactive"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/p2c"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/roundrobin"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var policies = []string{
	constant.LoadBalanceKeyRandom, constant.LoadBalanceKeyRoundRobin, constant.LoadBalanceKeyLeastActive,
	constant.LoadBalanceKeyConsistentHashing, constant.LoadBalanceKeyP2C,
	constant.LoadBalanceKeyAliasMethod, constant.LoadBalanceKeyInterleavedWeightedRoundRobin,
}

// spec is an endpoint: its weight, age and window.
type spec struct {
	weight      int
	age, window time.Duration
}

// build makes the same fleet as a pool and as a list of invokers whose URLs say
// the same of weight and age. Endpoints whose age is 0 or more and below the
// window warm up.
func build(specs []spec) (*endpoint.Pool, []base.Invoker) { return buildIn(0, specs) }

// buildIn is build in another network, 0 to 255: the same fleet on other machines.
func buildIn(network int, specs []spec) (*endpoint.Pool, []base.Invoker) {
	table := new(endpoint.Table)
	var list []*endpoint.Endpoint
	var invokers []base.Invoker
	for n, s := range specs {
		start := time.Now().Add(-s.age)
		u := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithIp(fmt.Sprintf("10.%d.%d.%d", network, n/250, n%250)), common.WithPort("20000"),
			common.WithPath("shop.Order"), common.WithInterface("shop.Order"), common.WithMethods([]string{"Get"}))
		u.SetParam(constant.WeightKey, strconv.Itoa(s.weight))
		birth := endpoint.Birth{}
		if s.window > 0 {
			u.SetParam(tag.MetaStartTime, strconv.FormatInt(start.UnixMilli(), 10))
			u.SetParam(tag.MetaWarmupTime, strconv.FormatInt(s.window.Milliseconds(), 10))
			birth = endpoint.Birth{Start: start, Window: s.window}
		}
		i := base.NewBaseInvoker(u)
		invokers = append(invokers, i)
		list = append(list, &endpoint.Endpoint{Instance: table.Acquire(u.Location, "a", "order", birth), Invoker: i, Weight: Weight(u)})
	}
	return endpoint.NewPool(list, ramp()), invokers
}

// pickFrom is Pick with a random source of the test's.
func pickFrom(p *endpoint.Pool, r *rand.Rand) *endpoint.Endpoint { return pick(p, r.Uint64) }

// ramp is that of the settings in force.
func ramp() endpoint.Ramp {
	c := conf.Current().Warmup
	p, _ := c.Exponent()
	return endpoint.Ramp{Exponent: p, Floor: c.MinPercent / 100, Boost: c.MaxBoost}
}

// balancer is one way to choose, over one fleet.
type balancer struct {
	name string
	over func(pool *endpoint.Pool, invokers []base.Invoker, r *rand.Rand) func() base.Invoker
}

func balancers() []balancer {
	list := []balancer{
		{"Pick", func(p *endpoint.Pool, _ []base.Invoker, _ *rand.Rand) func() base.Invoker {
			return func() base.Invoker { return Pick(p).Invoker }
		}},
		{"pick", func(p *endpoint.Pool, _ []base.Invoker, r *rand.Rand) func() base.Invoker {
			return func() base.Invoker { return pickFrom(p, r).Invoker }
		}},
		{"Select", func(_ *endpoint.Pool, invokers []base.Invoker, _ *rand.Rand) func() base.Invoker {
			b := New()
			return func() base.Invoker { return b.Select(invokers, get()) }
		}},
		{"Select by name", func(_ *endpoint.Pool, invokers []base.Invoker, _ *rand.Rand) func() base.Invoker {
			return func() base.Invoker { return extension.GetLoadbalance(Name).Select(invokers, get()) }
		}},
	}
	return list
}

func get() base.Invocation {
	return invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Get"), invocation.WithArguments([]any{"x"}))
}

// TestEmpty: an empty list gives nil, also where dubbo-go's policies would panic;
// the cluster never picks from an empty pool.
func TestEmpty(t *testing.T) {
	if got := New().Select(nil, get()); got != nil {
		t.Errorf("Select of an empty list = %v, want nil", got)
	}
	pool, _ := build(nil)
	for _, name := range registered(t) {
		if e := PickBy(extension.GetLoadbalance(name), pool, get()); e != nil {
			t.Errorf("PickBy(%s) over an empty pool = %v, want nil", name, e)
		}
	}
}

// TestShares: 8,000 picks, the tolerance is
// 5 sigma of each expected share. Expected from the
// formula, by hand for each row. Seed 7 where the source can be seeded.
func TestShares(t *testing.T) {
	const picks = 8_000
	const h = time.Hour // of window; the ages below do not move within the test
	for _, tc := range []struct {
		name  string
		specs []spec
		want  []float64 // w f, not yet divided by its sum
	}{
		{"alike", []spec{{100, 0, 0}, {100, 0, 0}, {100, 0, 0}}, []float64{1, 1, 1}},
		{"by weight", []spec{{10, 0, 0}, {20, 0, 0}, {50, 0, 0}}, []float64{10, 20, 50}},
		{"weight 0 is dubbo-go's default of 100", []spec{{0, 0, 0}, {300, 0, 0}}, []float64{100, 300}},
		{"one new of three: floor 10 %", []spec{{100, 0, 0}, {100, 0, 0}, {100, 0, h}}, []float64{1, 1, 0.1}},
		{"one at half its window", []spec{{100, 0, 0}, {100, 0, 0}, {100, h / 2, h}}, []float64{1, 1, 0.5}},
		{"weight and age", []spec{{200, 0, 0}, {100, 0, 0}, {100, h / 4, h}}, []float64{200, 100, 25}},
		// guard: W = 3, W/1.5 - 1 = 1, over 2 that warm: f >= 0.5
		{"one warm, two new", []spec{{100, 0, 0}, {100, 0, h}, {100, 0, h}}, []float64{1, 0.5, 0.5}},
		// the same, but one is past what the guard asks for
		{"one warm, one new, one at 3/4", []spec{{100, 0, 0}, {100, 0, h}, {100, 3 * h / 4, h}}, []float64{1, 0.5, 0.75}},
		// guard by weight: W = 400, 400/1.5 - 100 = 166.7, over 300: f >= 0.5556
		{"a light warm one", []spec{{100, 0, 0}, {300, 0, h}}, []float64{100, 300 * (400/1.5 - 100) / 300}},
		{"whole fleet new", []spec{{100, 0, h}, {100, 0, h}, {100, 0, h}, {100, 0, h}}, []float64{1, 1, 1, 1}},
		{"whole fleet new, by weight", []spec{{100, 0, h}, {300, 0, h}}, []float64{1, 3}},
		{"a peer that is long warm by its time", []spec{{100, 2 * h, h}, {100, 0, 0}}, []float64{1, 1}},
	} {
		sum := 0.0
		for _, w := range tc.want {
			sum += w
		}
		for _, b := range balancers() {
			pool, invokers := build(tc.specs)
			choose := b.over(pool, invokers, rand.New(rand.NewPCG(7, 7)))
			got := map[base.Invoker]int{}
			for range picks {
				got[choose()]++
			}
			for n, i := range invokers {
				p := tc.want[n] / sum
				tolerance := 5 * math.Sqrt(p*(1-p)/picks)
				if share := float64(got[i]) / picks; math.Abs(share-p) > tolerance {
					t.Errorf("%s, %s: share of %d = %.4f, want %.4f ± %.4f", b.name, tc.name, n, share, p, tolerance)
				}
			}
		}
	}
}

// TestSelectOnATimeLine: the balancer of foreign clusters reads the same ages,
// one nanosecond before and at each edge. The probability is computed from its
// random source: over 4,000 picks, 5 sigma.
func TestSelectOnATimeLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const picks, window = 4_000, 100 * time.Second
		_, invokers := build([]spec{{100, 0, 0}, {100, 0, 0}, {100, 0, window}})
		b := New()
		b.Select(invokers, get()) // the ages start here
		born := time.Now()
		for _, tc := range []struct {
			at time.Duration
			f  float64
		}{{0, 0.1}, {10*time.Second - 1, 0.1}, {10 * time.Second, 0.1}, {50 * time.Second, 0.5}, {window - 1, 1}, {window, 1}, {2 * window, 1}} {
			time.Sleep(tc.at - time.Since(born))
			got := 0
			for range picks {
				if b.Select(invokers, get()) == invokers[2] {
					got++
				}
			}
			p := tc.f / (2 + tc.f)
			if share := float64(got) / picks; math.Abs(share-p) > 5*math.Sqrt(p*(1-p)/picks) {
				t.Errorf("at %v: share %.4f, want %.4f", tc.at, share, p)
			}
		}
	})
}

// TestGuardFollows: the guard of a pool built after an endpoint turned warm is
// that of the fleet as it is then. Two new ones, window 10 s and 100 s.
func TestGuardFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		specs := []spec{{100, 0, 10 * time.Second}, {100, 0, 100 * time.Second}}
		pool, _ := build(specs)
		list, born := pool.All(), time.Now()
		r := endpoint.Ramp{Exponent: 1, Floor: 0, Boost: 1.5}
		for _, tc := range []struct {
			at     time.Duration
			f0, f1 float64
		}{
			{0, 1 / 1.5, 1 / 1.5},                    // all new: the guard is 1/1.5
			{10*time.Second - 1, 1 - 1e-10, 1 / 1.5}, // still all new
			{10 * time.Second, 1, 1.0 / 3},           // one warm: (200/1.5 - 100)/100 = 1/3
			{50 * time.Second, 1, 0.5},               // past the guard
			{100*time.Second - 1, 1, 1 - 1e-11},      //
			{100 * time.Second, 1, 1},                // all warm
		} {
			time.Sleep(tc.at - time.Since(born))
			p := endpoint.NewPool(list, r)
			if f0, f1 := p.Factor(list[0]), p.Factor(list[1]); math.Abs(f0-tc.f0) > 1e-9 || math.Abs(f1-tc.f1) > 1e-9 {
				t.Errorf("at %v: factors %v and %v, want %v and %v", tc.at, f0, f1, tc.f0, tc.f1)
			}
		}
	})
}

// TestForgets: invokers that left do not stay in memory for ever.
func TestForgets(t *testing.T) {
	b := New()
	for range 20 {
		_, invokers := build(make([]spec, 200))
		b.Select(invokers, get())
	}
	n := 0
	b.known.Range(func(any, any) bool { n++; return true })
	if n > 4*200+1024 {
		t.Errorf("%d invokers known of 200 living ones", n)
	}
}

func TestWeight(t *testing.T) {
	for text, want := range map[string]float64{"": 100, "0": 100, "-5": 100, "x": 100, "1": 1, "250": 250} {
		u := common.NewURLWithOptions(common.WithParamsValue(constant.WeightKey, text))
		if got := Weight(u); got != want {
			t.Errorf("weight %q = %v, want %v", text, got, want)
		}
	}
}

// TestNameIsOurs: dubbo-go overwrites silently.
func TestNameIsOurs(t *testing.T) {
	if slices.Contains(policies, Name) {
		t.Errorf("%q is dubbo-go's", Name)
	}
	if _, ok := extension.GetLoadbalance(Name).(*Balancer); !ok {
		t.Errorf("%q is %T", Name, extension.GetLoadbalance(Name))
	}
}

func TestPickAllocs(t *testing.T) {
	pool, _ := build([]spec{{100, 0, 0}, {100, 0, 0}, {100, 0, time.Hour}})
	if n := testing.AllocsPerRun(1000, func() { Pick(pool) }); n != 0 {
		t.Errorf("Pick: %v allocations, want 0", n)
	}
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10_000} {
		specs := make([]spec, n)
		for i := range specs {
			specs[i].weight = 100
		}
		pool, invokers := build(specs)
		b.Run(fmt.Sprintf("Pick/n=%d", n), func(b *testing.B) {
			for b.Loop() {
				Pick(pool)
			}
		})
		lb, inv := New(), get()
		b.Run(fmt.Sprintf("Select/n=%d", n), func(b *testing.B) {
			for b.Loop() {
				lb.Select(invokers, inv)
			}
		})
	}
}
