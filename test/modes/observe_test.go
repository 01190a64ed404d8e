// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
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

func init() {
	extension.SetCluster(capturingName, func() cluster.Cluster { return capturingCluster{} })
}

type capturingCluster struct{}

func (capturingCluster) Join(d directory.Directory) base.Invoker { return &capturing{d, &captured} }

func (c *capturing) GetURL() *common.URL { return c.d.GetURL() }
func (c *capturing) IsAvailable() bool   { return c.d.IsAvailable() }
func (c *capturing) Destroy()            { c.d.Destroy() }

func (c *capturing) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	list := c.d.List(inv)
	*c.to = nil
	for _, i := range list {
		*c.to = append(*c.to, i.GetURL().Location)
	}
	slices.Sort(*c.to)
	if len(list) == 0 {
		return &result.RPCResult{Err: errors.New("No provider available")} // dubbo-go's words
	}
	return list[rand.IntN(len(list))].Invoke(ctx, inv)
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

// TestObserve: on random fleets, rules and calls, a reference in mode observe is
// offered by its directory what plain dubbo-go's is, and the differences counted
// are those between dubbo-go's choice and Graylane's decision.
func TestObserve(t *testing.T) {
	dial(t, client.WithURL("tri://127.0.0.1:1")) // the settings are read with the first reference
	old := *conf.Current()
	t.Cleanup(func() {
		conf.Set(old)
		tagrouter.Rules.Put("order", nil)
	})
	const cases, seed = 40, 20261123
	random := rand.New(rand.NewPCG(seed, 0))
	lanes := []string{"", "", "gray", "gray", "blue", "a", "a|b"}
	var want, differ lossless.Differences
	before := lossless.ReadDifferences()
	for n := range cases {
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
		address := fmt.Sprintf("o%d", n)
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
				before := attemptsOf(fleet)
				_ = observed(context.Background(), attachments)
				if !slices.Equal(captured, theirs) {
					t.Errorf("case %d, tag %q, force %q: offered %v, plain dubbo-go %v", n, lane, force, captured, theirs)
				}
				served := ""
				for i, p := range fleet {
					if p.attempts.Load() > before[i] {
						served = p.address
					}
				}
				d := decide(lane, force != "")
				switch {
				case served == "" && len(d.may) > 0:
					want.Only++
				case served == "" || slices.Contains(d.may, served):
				case len(d.may) == 0:
					want.None++
				case !slices.Contains(d.level, served):
					want.Lane++
				default:
					want.State++
				}
			}
		}
	}
	after := lossless.ReadDifferences()
	differ = lossless.Differences{Lane: after.Lane - before.Lane, State: after.State - before.State, None: after.None - before.None, Only: after.Only - before.Only}
	if differ != want {
		t.Errorf("counted %+v, want %+v", differ, want)
	}
	if want.Lane == 0 || want.None == 0 || want.Only == 0 {
		t.Errorf("the cases show too little: %+v", want)
	}
	t.Logf("%d calls, differences %+v", cases*14, differ)
}

func attemptsOf(fleet []*provider) (n []int64) {
	for _, p := range fleet {
		n = append(n, p.attempts.Load())
	}
	return n
}
