// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	centre "github.com/graylane/graylane/internal/center" // center is that of dubbo-go
	"github.com/graylane/graylane/internal/conf"
)

// overrideCenter is a config centre with one text, which may change.
type overrideCenter struct {
	key  string
	text chan string // what is told next; each is taken in when it can be sent
}

func (*overrideCenter) Groups() []string            { return []string{"dubbo"} }
func (*overrideCenter) Check(context.Context) error { return nil }
func (*overrideCenter) Close()                      {}

func (o *overrideCenter) Follow(ctx context.Context, _, key string, tell func(string)) {
	tell("")
	if key != o.key {
		<-ctx.Done()
		return
	}
	for {
		select {
		case text := <-o.text:
			tell(text)
		case <-ctx.Done():
			return
		}
	}
}

// say publishes parameters for the whole reference, "" for none, and returns when they
// have been taken in: when the centre can be told the same once more.
func (o *overrideCenter) say(parameters string) {
	text := ""
	if parameters != "" {
		text = fmt.Sprintf("configVersion: v2.7\nscope: application\nkey: gateway\nconfigs:\n  - side: consumer\n    parameters: { %s }\n", parameters)
	}
	o.text <- text
	o.text <- text
}

// lowest chooses the provider of the lowest address, always.
type lowest struct{}

func (lowest) Select(list []base.Invoker, _ base.Invocation) base.Invoker {
	return slices.MinFunc(list, func(a, b base.Invoker) int { return compareAddresses(a.GetURL().Location, b.GetURL().Location) })
}

func compareAddresses(a, b string) int {
	if a < b {
		return -1
	}
	return 1
}

// TestOverrides: what an override says of a whole reference holds with the next call, in
// our cluster and, as far as they know of it, in dubbo-go's, over the connections that
// there are. Plain dubbo-go takes in none of it, as in TestOverridesOfPlainDubbo of
// cluster/rulecenter.
func TestOverrides(t *testing.T) {
	dial(t, client.WithURL("tri://127.0.0.1:1")) // the settings are read with the first reference
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	c := old
	c.Retry.Unknown, c.Retry.BudgetPercent = "dubbo", 100
	conf.Set(c)
	extension.SetLoadbalance("modes-lowest", func() loadbalance.LoadBalance { return lowest{} })
	o := &overrideCenter{key: "gateway" + constant.ConfiguratorSuffix, text: make(chan string)}
	centre.SetCurrent(o, "modes")
	t.Cleanup(func() { centre.SetCurrent(nil, "") })
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		for name, options := range map[string][]client.ReferenceOption{"lossless": nil, "failfast": {client.WithClusterFailFast()}} {
			t.Run(protocol+"/"+name, func(t *testing.T) {
				fleet := several(t, protocol, "", 3)
				slices.SortFunc(fleet, func(a, b *provider) int { return compareAddresses(a.address, b.address) })
				address := "overrides-" + protocol + "-" + name
				list(address, fleet...)
				call := dial(t, append(options, client.WithProtocol(protocol), at(address))...)
				const calls = 40 // that none of 40 comes to one of three is 1 in 10^7
				served := func() (by []int) {
					before := attemptsOf(fleet)
					for range calls {
						if err := call(context.Background(), untagged()); err != nil {
							t.Fatal(err)
						}
					}
					for n, now := range attemptsOf(fleet) {
						if now > before[n] {
							by = append(by, n)
						}
					}
					return by
				}
				if by := served(); len(by) != 3 {
					t.Errorf("before: served by %v", by)
				}
				o.say("loadbalance: modes-lowest")
				if by := served(); !slices.Equal(by, []int{0}) {
					t.Errorf("loadbalance: served by %v, want the lowest", by)
				}
				o.say("methods." + method + ".loadbalance: modes-lowest")
				if by := served(); !slices.Equal(by, []int{0}) {
					t.Errorf("loadbalance of the method: served by %v, want the lowest", by)
				}
				o.say("")
				if by := served(); len(by) != 3 {
					t.Errorf("without loadbalance: served by %v", by)
				}
				o.say("sticky: \"true\"")
				if by := served(); len(by) != 1 {
					t.Errorf("sticky: served by %v, want one", by)
				}
				o.say("")
				if by := served(); len(by) != 3 {
					t.Errorf("without sticky: served by %v", by)
				}
				if name == "lossless" { // failfast repeats nothing
					for _, p := range fleet {
						p.answer = func(base.Invocation) result.Result { return &result.RPCResult{Err: io.ErrUnexpectedEOF} }
					}
					for parameter, want := range map[string]int64{"": 1, "retries: \"1\"": 2, "retries: \"2\"": 3, "methods." + method + ".retries: \"1\"": 2} {
						o.say(parameter)
						before := attempts(fleet)
						if err := call(context.Background(), untagged()); err == nil {
							t.Error("a call that all fail is well")
						}
						if n := attempts(fleet) - before; n != want {
							t.Errorf("{%s}: %d attempts, want %d", parameter, n, want)
						}
					}
				}
				for n, p := range fleet {
					if made := p.referred.Load(); made != 1 {
						t.Errorf("%d connections to provider %d, want 1", made, n)
					}
				}
			})
		}
	}
}
