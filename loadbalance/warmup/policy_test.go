// SPDX-License-Identifier: Apache-2.0

package warmup

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/cluster/endpoint"
)

// promise is what a policy keeps of P(i) = w f / sum(w f).
type promise struct {
	weights bool    // it goes by weight; else it treats all alike, and is tested with equal weights
	keyed   bool    // by the key of the call: of many keys, and over many fleets
	slack   float64 // of its own, beside 5 sigma
	none    bool    // nothing in common with shares: contract only
}

// promises has a row for every balancer that is registered. One without a row
// fails the tests.
var promises = map[string]promise{
	constant.LoadBalanceKeyRandom:      {weights: true},
	constant.LoadBalanceKeyAliasMethod: {weights: true},
	constant.LoadBalanceKeyRoundRobin:  {weights: true},
	// Its random number is one too high (facts: 92 for 198 at 1:100), so that the
	// first loses one part of the weights: at most 1 of 400 here.
	constant.LoadBalanceKeyLeastActive: {weights: true, slack: 0.005},
	// Makes its queue anew for each call and so takes a random one.
	constant.LoadBalanceKeyInterleavedWeightedRoundRobin: {},
	constant.LoadBalanceKeyConsistentHashing:             {keyed: true},
	constant.LoadBalanceKeyP2C:                           {weights: true}, // with nothing in flight
	Name:                                                 {weights: true},
	"user-random":                                        {weights: true},
	"user-last":                                          {none: true},
	"user-nil":                                           {none: true},
	"user-foreign":                                       {none: true},
}

// userBalancer is what a user might register.
type userBalancer func([]base.Invoker) base.Invoker

func (u userBalancer) Select(list []base.Invoker, _ base.Invocation) base.Invoker { return u(list) }

var stranger = base.NewBaseInvoker(common.NewURLWithOptions(common.WithIp("192.0.2.1"), common.WithPort("1")))

func init() {
	for name, u := range map[string]userBalancer{
		"user-last":    func(l []base.Invoker) base.Invoker { return l[len(l)-1] },
		"user-nil":     func([]base.Invoker) base.Invoker { return nil },
		"user-foreign": func([]base.Invoker) base.Invoker { return stranger },
		"user-random": func(l []base.Invoker) base.Invoker { // by weight, slow and obvious
			sum, weights := int64(0), make([]int64, len(l))
			for n, i := range l {
				weights[n] = min(max(i.GetURL().GetParamInt(constant.WeightKey, 0), 1), 10_000)
				sum += weights[n]
			}
			rest := rand.Int64N(sum)
			for n, i := range l {
				if rest -= weights[n]; rest < 0 {
					return i
				}
			}
			return nil
		},
	} {
		extension.SetLoadbalance(name, func() loadbalance.LoadBalance { return u })
	}
}

// registered are all balancers of this process.
func registered(t *testing.T) []string {
	t.Helper()
	names := extension.GetAllLoadbalanceNames()
	slices.Sort(names)
	for _, n := range names {
		if _, ok := promises[n]; !ok {
			t.Errorf("balancer %q has no row in promises", n)
		}
	}
	for _, n := range policies {
		if !slices.Contains(names, n) {
			t.Errorf("dubbo-go's balancer %q is not registered", n)
		}
	}
	return names
}

func keyOf(n int) base.Invocation { return callOf("Get", n) }

func callOf(method string, n int) base.Invocation {
	return invocation.NewRPCInvocationWithOptions(invocation.WithMethodName(method), invocation.WithArguments([]any{strconv.Itoa(n)}))
}

// chooser is one way to choose over a pool: ours and every named policy.
type chooser struct {
	name   string
	choose func(p *endpoint.Pool, n int) *endpoint.Endpoint // n: of the call
}

// choosers are those of a test, on a method of its own: dubbo-go's round robin keeps
// its counters by method and address for the whole process.
func choosers(t *testing.T) []chooser {
	t.Helper()
	method := t.Name()
	list := []chooser{{"Pick", func(p *endpoint.Pool, _ int) *endpoint.Endpoint { return Pick(p) }}}
	for _, name := range registered(t) {
		list = append(list, chooser{name, func(p *endpoint.Pool, n int) *endpoint.Endpoint {
			return PickBy(extension.GetLoadbalance(name), p, callOf(method, n))
		}})
	}
	return list
}

// odd are weights as a URL may carry them, hostile ones included.
var odd = []string{"", "0", "-1", "-9223372036854775808", "1", "10000", "9223372036854775807", "99999999999999999999", "1e3", "NaN", "x"}

// TestContract: every balancer, over pools of one endpoint and of many, some of
// which warm up or have no weight, with odd weights in the URLs, by eight
// goroutines at once: never nil, never an endpoint of another pool, no panic.
func TestContract(t *testing.T) {
	const goroutines, picks = 8, 60
	pools := map[string]*endpoint.Pool{}
	for _, n := range []int{1, 2, 3, 8, 9, 16, 33, 40} {
		specs := make([]spec, n)
		for i := range specs {
			specs[i] = spec{weight: 1 + 99*(i%2)}
			if i%3 == 2 {
				specs[i].window = time.Hour
			}
		}
		pools[fmt.Sprintf("%d, a third new", n)], _ = build(specs)
		for i := range specs {
			specs[i].window = time.Hour
		}
		pools[fmt.Sprintf("%d, all new", n)], _ = build(specs)
	}
	pool, invokers := build(make([]spec, len(odd)))
	for n, i := range invokers {
		i.GetURL().SetParam(constant.WeightKey, odd[n])
	}
	pools["odd weights"] = pool
	pool, invokers = build(make([]spec, 5))
	for _, i := range invokers {
		i.GetURL().SetParam(constant.WeightKey, "9223372036854775807") // their sum overflows
	}
	pools["huge weights"] = pool
	pools["drained but one"] = drained(pool, 3)
	pools["all drained"] = drained(pool)

	for _, c := range choosers(t) {
		for name, p := range pools {
			all := p.All()
			var bad atomic.Pointer[string]
			var wg sync.WaitGroup
			for g := range goroutines {
				wg.Go(func() {
					defer func() {
						if r := recover(); r != nil {
							s := fmt.Sprintf("panic: %v", r)
							bad.Store(&s)
						}
					}()
					for n := range picks {
						if e := c.choose(p, g*picks+n); e == nil || !slices.Contains(all, e) {
							s := fmt.Sprintf("chose %v", e)
							bad.Store(&s)
						}
					}
				})
			}
			wg.Wait()
			if s := bad.Load(); s != nil {
				t.Errorf("%s, pool %q: %s", c.name, name, *s)
			}
		}
	}
}

// drained returns the pool's endpoints with weight 0, but for some.
func drained(p *endpoint.Pool, but ...int) *endpoint.Pool {
	var list []*endpoint.Endpoint
	for n, e := range p.All() {
		w := 0.0
		if slices.Contains(but, n) {
			w = 100
		}
		list = append(list, e.With(e.Tag, w))
	}
	return endpoint.NewPool(list, ramp())
}

// TestDrained: an endpoint of weight 0 gets no call while another has a weight,
// whatever the policy says.
func TestDrained(t *testing.T) {
	pool, _ := build(make([]spec, 4))
	pool = drained(pool, 2)
	for _, c := range choosers(t) {
		for n := range 200 {
			if e := c.choose(pool, n); e != pool.All()[2] {
				t.Errorf("%s chose %s, which is drained", c.name, e.Address)
				break
			}
		}
	}
}

// TestPolicyShares: every policy gives each endpoint w f / sum(w f); those that
// do not go by weight are tested with equal ones. 10,000 picks, tolerance 5 sigma
// and the policy's own slack. dubbo-go's sources of chance cannot be seeded.
//
// Consistent hashing promises it of no one fleet: an endpoint that has p of the N points
// of a ring, which lie anywhere, has p of the keys with variance p(1-p)/(N+1). So it is
// asked for 1,000 keys over each of 40 fleets.
func TestPolicyShares(t *testing.T) {
	const h = time.Hour
	rows := []struct {
		name  string
		specs []spec
		want  []float64 // w f, worked out by hand
	}{
		{"alike", []spec{{100, 0, 0}, {100, 0, 0}, {100, 0, 0}}, []float64{1, 1, 1}},
		{"by weight", []spec{{100, 0, 0}, {200, 0, 0}, {500, 0, 0}}, []float64{1, 2, 5}},
		{"one new of three: floor 10 %", []spec{{100, 0, 0}, {100, 0, 0}, {100, 0, h}}, []float64{1, 1, 0.1}},
		{"one at half its window", []spec{{100, 0, 0}, {100, h / 2, h}, {100, 0, 0}}, []float64{1, 0.5, 1}},
		{"weight and age", []spec{{200, 0, 0}, {100, 0, 0}, {100, h / 4, h}}, []float64{200, 100, 25}},
		// guard: (3/1.5 - 1)/2 = 1/2
		{"one warm, two new", []spec{{100, 0, 0}, {100, 0, h}, {100, 0, h}}, []float64{1, 0.5, 0.5}},
		{"one warm, one new, one at 3/4", []spec{{100, 0, 0}, {100, 0, h}, {100, 3 * h / 4, h}}, []float64{1, 0.5, 0.75}},
		// guard: (6/1.5 - 2)/4 = 1/2. A late newcomer has room for more than its
		// weight: the sum is 4.85 of 6, so that 0.95 of a fair share becomes 1.18.
		{"late ones", []spec{{100, 0, 0}, {100, 0, 0}, {100, 95 * h / 100, h}, {100, 90 * h / 100, h}, {100, 45 * h / 100, h}, {100, 45 * h / 100, h}}, []float64{1, 1, 0.95, 0.9, 0.5, 0.5}},
		{"whole fleet new", []spec{{100, 0, h}, {100, 0, h}, {100, 0, h}, {100, 0, h}}, []float64{1, 1, 1, 1}},
		// guard: 1/1.5; without a warm one the late one is the only one with room.
		{"all new, one earlier", []spec{{100, 0, h}, {100, 9 * h / 10, h}, {100, 0, h}}, []float64{1 / 1.5, 0.9, 1 / 1.5}},
	}
	for _, c := range choosers(t) {
		pr := promises[c.name]
		if c.name == "Pick" {
			pr = promise{weights: true}
		}
		for _, row := range rows {
			even := !slices.ContainsFunc(row.specs, func(s spec) bool { return s.weight != 100 })
			if pr.none || !pr.weights && !even {
				continue
			}
			fleets, each := 1, 10_000
			if pr.keyed {
				fleets, each = 40, 1_000
			}
			got, points := make([]int, len(row.specs)), 0.0
			for fleet := range fleets {
				pool, _ := buildIn(fleet, row.specs)
				points = 0
				for _, e := range pool.All() {
					points += defaultNodes * pool.Factor(e)
				}
				for n := range each {
					got[slices.Index(pool.All(), c.choose(pool, n))]++
				}
			}
			sum := 0.0
			for _, w := range row.want {
				sum += w
			}
			picks, variance := float64(fleets*each), 0.0
			if pr.keyed {
				variance = 1 / (points + 1) / float64(fleets)
			}
			for n := range row.specs {
				p := row.want[n] / sum
				tolerance := 5*math.Sqrt(p*(1-p)*(1/picks+variance)) + pr.slack
				if share := float64(got[n]) / picks; math.Abs(share-p) > tolerance {
					t.Errorf("%s, %s: share of %d = %.4f, want %.4f ± %.4f", c.name, row.name, n, share, p, tolerance)
				}
			}
		}
	}
}

// TestStubborn: a policy that always names the newcomer, as least active does with
// one that is idle, gets its way in f B of the calls; B = 3/2.1 with one new of
// three at f = 0.1. The others go to warm ones. 20,000 picks, 5 sigma.
func TestStubborn(t *testing.T) {
	const picks = 20_000
	pool, invokers := build([]spec{{100, 0, 0}, {100, 0, 0}, {100, 0, time.Hour}})
	want := 0.1 * 3 / 2.1
	check := func(name string, count int) {
		t.Helper()
		if share := float64(count) / picks; math.Abs(share-want) > 5*math.Sqrt(want*(1-want)/picks) {
			t.Errorf("%s: the newcomer got %.4f, want %.4f", name, share, want)
		}
	}
	got := 0
	for n := range picks {
		if PickBy(extension.GetLoadbalance("user-last"), pool, keyOf(n)).Invoker == invokers[2] {
			got++
		}
	}
	check("user-last", got)

	// dubbo-go's least active, fed as its filter `active` does: the warm ones have
	// a call in flight each, the second one two.
	for n, calls := range []int{1, 2} {
		for range calls {
			base.BeginCount(invokers[n].GetURL(), "Get")
			t.Cleanup(func() { base.EndCount(invokers[n].GetURL(), "Get", 1, true) })
		}
	}
	counts := map[base.Invoker]int{}
	for n := range picks {
		counts[PickBy(extension.GetLoadbalance(constant.LoadBalanceKeyLeastActive), pool, keyOf(n)).Invoker]++
	}
	check("leastactive", counts[invokers[2]])
	if counts[invokers[1]] != 0 {
		t.Errorf("least active: %d calls to the busier of the warm ones, want 0: it is asked again", counts[invokers[1]])
	}
}

// TestTwoChoices: of two, the one with fewer calls in flight for its share.
func TestTwoChoices(t *testing.T) {
	pool, _ := build([]spec{{100, 0, 0}, {100, 0, 0}})
	busy := pool.All()[0]
	for range 3 {
		busy.Begin(true)
		defer busy.End(endpoint.Answered)
	}
	const picks = 10_000
	got := 0
	for n := range picks {
		if PickBy(extension.GetLoadbalance(constant.LoadBalanceKeyP2C), pool, keyOf(n)) == busy {
			got++
		}
	}
	// Only when both draws name it: 1/4 (5 sigma).
	if share := float64(got) / picks; math.Abs(share-0.25) > 5*math.Sqrt(0.25*0.75/picks) {
		t.Errorf("the busy one of two got %.3f, want 0.25", share)
	}

	// One call of a newcomer that may have a tenth is more than five of a warm one: it
	// is taken only when both draws name it, (1/21)^2 of the time, and has 0 to 31 then.
	pool, _ = build([]spec{{100, 0, 0}, {100, 0, 0}, {100, 0, time.Hour}})
	for n, calls := range []int{5, 5, 1} {
		for range calls {
			pool.All()[n].Begin(true)
			defer pool.All()[n].End(endpoint.Answered)
		}
	}
	got = 0
	for n := range 3_000 {
		if PickBy(extension.GetLoadbalance(constant.LoadBalanceKeyP2C), pool, keyOf(n)) == pool.All()[2] {
			got++
		}
	}
	if mean := 3_000.0 / 21 / 21; math.Abs(float64(got)-mean) > 5*math.Sqrt(mean) {
		t.Errorf("a newcomer that is busy for its share got %d of 3,000, want %.0f", got, mean)
	}
}

// TestHashing: while nothing warms up, a key goes where dubbo-go's own balancer
// sends it; an endpoint that was replaced is not named any more, which dubbo-go's
// own gets wrong; a key moves to a newcomer once, and stays.
func TestHashing(t *testing.T) {
	lb := extension.GetLoadbalance(constant.LoadBalanceKeyConsistentHashing)
	pool, invokers := build(slices.Repeat([]spec{{weight: 100}}, 5))
	where := map[int]*endpoint.Endpoint{}
	for n := range 2_000 {
		where[n] = PickBy(lb, pool, keyOf(n))
		if want := lb.Select(invokers, keyOf(n)); where[n].Invoker != want {
			t.Fatalf("key %d: %s, dubbo-go's own %s", n, where[n].Address, want.GetURL().Location)
		}
	}

	for _, f := range []float64{0.1, 0.3, 0.5, 0.75, 1} { // the fifth is new
		specs := slices.Repeat([]spec{{weight: 100}}, 5)
		specs[4] = spec{weight: 100, age: time.Duration(f * float64(time.Hour)), window: time.Hour}
		four, _ := build(specs[:4])
		five, _ := build(specs)
		moved := 0
		for n := range 2_000 {
			before, now := PickBy(lb, four, keyOf(n)), PickBy(lb, five, keyOf(n))
			switch {
			case now != PickBy(lb, five, keyOf(n)):
				t.Fatalf("f = %v: key %d has two endpoints", f, n)
			case now == five.All()[4]:
				moved++
				if where[n].Address != now.Address {
					t.Fatalf("f = %v: key %d went to the newcomer, though it is another's in the end", f, n)
				}
			case now.Address != before.Address:
				t.Fatalf("f = %v: key %d moved from %s to %s", f, n, before.Address, now.Address)
			}
		}
		all := 0
		for n := range 2_000 {
			if where[n].Address == five.All()[4].Address {
				all++
			}
		}
		// f of its 160 points: the keys vary with the root of their number.
		if got := float64(moved) / float64(all); math.Abs(got-f) > 5*0.08 || moved == 0 {
			t.Errorf("f = %v: %d of its %d keys moved", f, moved, all)
		}
	}

	others := slices.Clone(pool.All()[:4])
	table := new(endpoint.Table)
	u := common.NewURLWithOptions(common.WithIp("10.9.9.9"), common.WithPort("20000"), common.WithPath("shop.Order"))
	others = append(others, &endpoint.Endpoint{Instance: table.Acquire(u.Location, "b", "order", endpoint.Birth{}), Invoker: base.NewBaseInvoker(u), Weight: 100})
	replaced := endpoint.NewPool(others, ramp())
	stale := 0
	for n := range 2_000 {
		if e := PickBy(lb, replaced, keyOf(n)); e == pool.All()[4] {
			t.Fatalf("key %d: an endpoint that left", n)
		}
		if lb.Select(replaced.Invokers(), keyOf(n)) == invokers[4] {
			stale++
		}
	}
	if t.Logf("dubbo-go's own named the one that left for %d keys of 2,000", stale); stale == 0 {
		t.Log("its ring can be asked again")
	}
}

func TestHashKey(t *testing.T) {
	args := []any{"a", 7, nil, []string{"x"}}
	for positions, want := range map[string]string{"0": "a", "1": "7", "0,1": "a7", " 3 , 0": "[x]a", "2": "<nil>", "9": "", "-1": "", "": "", "x,0": "a"} {
		if got := hashKey(positions, args); got != want {
			t.Errorf("arguments %q: key %q, want %q", positions, got, want)
		}
	}
	for _, set := range []string{"0", "-3", "3", "x"} { // dubbo-go's own panics
		pool, invokers := build(slices.Repeat([]spec{{weight: 100}}, 3))
		invokers[0].GetURL().SetParam("methods.Get.hash.nodes", set)
		invokers[0].GetURL().SetParam("methods.Get.hash.arguments", set)
		if e := PickBy(extension.GetLoadbalance(constant.LoadBalanceKeyConsistentHashing), pool, keyOf(1)); e == nil {
			t.Errorf("hash.nodes and hash.arguments %q: no endpoint", set)
		}
	}
}

// TestReplacedHashing: a balancer that the user registered in the place of
// dubbo-go's is asked.
func TestReplacedHashing(t *testing.T) {
	name := constant.LoadBalanceKeyConsistentHashing
	old := extension.GetLoadbalance(name)
	extension.SetLoadbalance(name, func() loadbalance.LoadBalance {
		return userBalancer(func(l []base.Invoker) base.Invoker { return l[1] })
	})
	defer extension.SetLoadbalance(name, func() loadbalance.LoadBalance { return old })
	pool, _ := build(slices.Repeat([]spec{{weight: 100}}, 5))
	for n := range 50 {
		if e := PickBy(extension.GetLoadbalance(name), pool, keyOf(n)); e != pool.All()[1] {
			t.Fatalf("chose %s", e.Address)
		}
	}
}

// BenchmarkPickBy: every policy, with one of ten new and with none.
func BenchmarkPickBy(b *testing.B) {
	for _, name := range append(slices.Clone(policies), "user-last") {
		for _, n := range []int{10, 1000} {
			for _, window := range []time.Duration{0, time.Hour} {
				specs := slices.Repeat([]spec{{weight: 100}}, n)
				specs[n-1].window = window
				pool, _ := build(specs)
				inv := get()
				b.Run(fmt.Sprintf("%s/n=%d/new=%t", name, n, window > 0), func(b *testing.B) {
					for b.Loop() {
						PickBy(extension.GetLoadbalance(name), pool, inv)
					}
				})
			}
		}
	}
}
