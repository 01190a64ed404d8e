// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// capturing is a cluster that notes what its directory lists for a call and takes
// one of it at random.
type capturing struct {
	d  directory.Directory
	to *[]string
}

const capturingName = "modes-capturing"

// captured is the last list, sorted, by address.
var captured []string

// choice is what a capturing cluster chooses by; one call is made at a time.
var choice = rand.New(rand.NewPCG(0, 0))

// seed makes the random cases of TestObserve.
var seed = flag.Uint64("seed", 1, "of the cases of TestObserve")

func init() {
	extension.SetCluster(capturingName, func() cluster.Cluster { return capturingCluster{} })
}

type capturingCluster struct{}

func (capturingCluster) Join(d directory.Directory) base.Invoker { return &capturing{d, &captured} }

func (c *capturing) GetURL() *common.URL { return c.d.GetURL() }
func (c *capturing) IsAvailable() bool   { return c.d.IsAvailable() }
func (c *capturing) Destroy()            { c.d.Destroy() }

func (c *capturing) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	list := slices.Clone(c.d.List(inv))
	*c.to = nil
	for _, i := range list {
		*c.to = append(*c.to, i.GetURL().Location)
	}
	slices.Sort(*c.to)
	slices.SortFunc(list, func(a, b base.Invoker) int {
		return strings.Compare(a.GetURL().GetParam(tag.MetaIncarnation, ""), b.GetURL().GetParam(tag.MetaIncarnation, "")) // in the order of the fleet
	})
	if len(list) == 0 {
		return &result.RPCResult{Err: errors.New("No provider available")} // dubbo-go's words
	}
	return list[choice.IntN(len(list))].Invoke(ctx, inv)
}

// ruleCenter is a config centre that holds one text for each key.
type ruleCenter struct {
	config_center.DynamicConfiguration
	mu    sync.Mutex
	texts map[string]string
}

func (*ruleCenter) AddListener(string, config_center.ConfigurationListener, ...config_center.Option) {
}

func (*ruleCenter) RemoveListener(string, config_center.ConfigurationListener, ...config_center.Option) {
}

func (c *ruleCenter) GetRule(key string, _ ...config_center.Option) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.texts[key], nil
}

func setMode(m conf.Mode) {
	c := conf.Default()
	c.Mode = m
	conf.Set(c)
}

// decision is what Graylane would do with a call: the addresses that may serve it,
// and all of the level.
type decision struct{ may, level []string }

// ours decides over the same providers as the references, but on objects of its own.
func ours(t *testing.T, fleet []*provider) func(lane string, force bool) decision {
	t.Helper()
	var list []*endpoint.Endpoint
	for _, p := range fleet {
		list = append(list, &endpoint.Endpoint{
			Instance: p.state(t, p.incarnation()), Invoker: base.NewBaseInvoker(p.url), Tag: p.url.GetParam(constant.Tagkey, ""), Weight: 100,
		})
	}
	s := tagrouter.Build(list, tagrouter.Options{Ramp: endpoint.Ramp{Exponent: 1, Boost: 1}, Rules: tagrouter.Rules.Rule})
	return func(lane string, force bool) (out decision) {
		d, err := s.Route(lane, force)
		if err != nil {
			return out
		}
		for _, e := range d.Pool.All() {
			out.may = append(out.may, e.Address)
		}
		for _, e := range list {
			if d.Holds(e) {
				out.level = append(out.level, e.Address)
			}
		}
		return out
	}
}

// kindOf is what is to be counted of a call that one address served, "" for nobody.
func (d decision) kindOf(served string) (k lossless.Differences) {
	switch {
	case served == "" && len(d.may) > 0:
		k.Only = 1
	case served == "" || slices.Contains(d.may, served):
	case len(d.may) == 0:
		k.None = 1
	case !slices.Contains(d.level, served):
		k.Lane = 1
	default:
		k.State = 1
	}
	return k
}

// TestObserve: on random fleets, rules and calls, a reference in mode observe is
// offered by its directory what plain dubbo-go's is, and each call counts as the kind of
// difference that there is between who served it and Graylane's decision, or not at all.
// The cases of a seed are the same in each run but for the ports of the fleets.
func TestObserve(t *testing.T) {
	observing(t)
	var all lossless.Differences
	calls := 0
	random := rand.New(rand.NewPCG(*seed, 0))
	choice = rand.New(rand.NewPCG(*seed, 1))
	for n := range 200 {
		calls += observeCase(t, fmt.Sprintf("o%d", n), n, random, &all)
	}
	if all.Lane == 0 || all.None == 0 || all.Only == 0 {
		t.Errorf("the cases show too little: %+v", all)
	}
	t.Logf("%d calls, differences %+v", calls, all)
}

// observeCase compares the two over one fleet, and adds the differences.
func observeCase(t *testing.T, address string, n int, random *rand.Rand, all *lossless.Differences) (calls int) {
	t.Helper()
	lanes := []string{"", "", "gray", "gray", "blue", "a", "a|b"}
	var fleet []*provider
	for range 1 + random.IntN(5) {
		fleet = append(fleet, newProvider(t, constant.TriProtocol, lanes[random.IntN(len(lanes))], warm))
	}
	text := ""
	if n%3 == 1 { // one instance is put into a lane by a rule
		text = fmt.Sprintf("configVersion: v3.0\nforce: %t\nenabled: true\nkey: order\ntags:\n  - name: %s\n    addresses: [\"%s\"]\n",
			random.IntN(2) == 0, []string{"gray", "green"}[random.IntN(2)], fleet[0].address)
	}
	center.mu.Lock()
	center.texts["order"+constant.TagRouterRuleSuffix] = text
	center.mu.Unlock()
	rule, err := tagrouter.DecodeRule("order", "test", text)
	if err != nil {
		t.Fatal(err)
	}
	tagrouter.Rules.Put("order", rule)
	list(address, fleet...)
	options := []client.ReferenceOption{client.WithProtocol(constant.TriProtocol), client.WithCluster(capturingName), at(address)}
	setMode(conf.Off)
	plain := dial(t, options...)
	setMode(conf.Observe)
	observed := dial(t, options...)
	decide := ours(t, fleet)
	for _, lane := range []string{"", "gray", "blue", "a", "a|b", "a|c", "green"} {
		for _, force := range []string{"", "true"} {
			attachments := map[string]any{tag.KeyTag: lane, tag.KeyForce: force}
			if force == "" {
				delete(attachments, tag.KeyForce)
			}
			if lane == "" {
				delete(attachments, tag.KeyTag)
			}
			_ = plain(context.Background(), attachments)
			theirs := captured
			before, counted := attemptsOf(fleet), lossless.ReadDifferences()
			_ = observed(context.Background(), attachments)
			if !slices.Equal(captured, theirs) {
				t.Errorf("case %s, tag %q, force %q: offered %v, plain dubbo-go %v", address, lane, force, captured, theirs)
			}
			served := ""
			for i, p := range fleet {
				if p.attempts.Load() > before[i] {
					served = p.address
				}
			}
			d := decide(lane, force != "")
			want, got := d.kindOf(served), lossless.ReadDifferences()
			got.Lane, got.State, got.None, got.Only = got.Lane-counted.Lane, got.State-counted.State, got.None-counted.None, got.Only-counted.Only
			if got != want {
				t.Errorf("case %s, tag %q, force %q: served by %q, ours %v of %v: counted %+v, want %+v; rule %q", address, lane, force, served, d.may, d.level, got, want, text)
			}
			all.Lane, all.State, all.None, all.Only = all.Lane+got.Lane, all.State+got.State, all.None+got.None, all.Only+got.Only
			calls++
		}
	}
	return calls
}

func attemptsOf(fleet []*provider) (n []int64) {
	for _, p := range fleet {
		n = append(n, p.attempts.Load())
	}
	return n
}
