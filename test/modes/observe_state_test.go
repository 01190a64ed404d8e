// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"fmt"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// keepingName is a cluster of a user's that goes on with the first list it was offered,
// and calls whom it is told to of it.
const keepingName = "modes-keeping"

// kept is the address that it calls.
var kept string

func init() {
	extension.SetCluster(keepingName, func() cluster.Cluster { return keepingCluster{} })
}

type keepingCluster struct{}

func (keepingCluster) Join(d directory.Directory) base.Invoker { return &keepingInvoker{d: d} }

type keepingInvoker struct {
	d    directory.Directory
	list []base.Invoker
}

func (k *keepingInvoker) GetURL() *common.URL { return k.d.GetURL() }
func (k *keepingInvoker) IsAvailable() bool   { return k.d.IsAvailable() }
func (k *keepingInvoker) Destroy()            { k.d.Destroy() }

func (k *keepingInvoker) Invoke(ctx context.Context, inv base.Invocation) result.Result {
	if k.list == nil {
		k.list = k.d.List(inv)
	}
	for _, i := range k.list {
		if i.GetURL().Location == kept {
			return i.Invoke(ctx, inv)
		}
	}
	return &result.RPCResult{Err: fmt.Errorf("%s is not among %d", kept, len(k.list))}
}

// observing puts the process into mode observe for the test.
func observing(t *testing.T) {
	t.Helper()
	dial(t, client.WithURL("tri://127.0.0.1:1")) // the settings are read with the first reference
	old := *conf.Current()
	t.Cleanup(func() {
		conf.Set(old)
		tagrouter.Rules.Put("order", nil)
		center.mu.Lock()
		defer center.mu.Unlock()
		delete(center.texts, "order"+constant.TagRouterRuleSuffix)
	})
	setMode(conf.Observe)
}

// TestObserveState: calls that an instance served that leaves or fails, though its lane
// has a better one, are counted as `state`, and each once; without a better one they are
// not.
func TestObserveState(t *testing.T) {
	observing(t)
	for name, set := range map[string]func(*endpoint.Instance, bool){
		"leaving": func(i *endpoint.Instance, is bool) {
			if is {
				i.MarkClosing()
			}
		},
		"failing": func(i *endpoint.Instance, is bool) { i.SetOutlier(is) },
	} {
		fleet := several(t, constant.TriProtocol, "", 2)
		list(name, fleet...)
		call := dial(t, client.WithProtocol(constant.TriProtocol), client.WithCluster(keepingName), at(name))
		one := func() (counted int64) {
			before := lossless.ReadDifferences()
			if err := call(context.Background(), untagged()); err != nil {
				t.Fatal(err)
			}
			after := lossless.ReadDifferences()
			if before.State = after.State - before.State; after.Lane != before.Lane || after.None != before.None || after.Only != before.Only {
				t.Errorf("%s: counted %+v", name, after)
			}
			return before.State
		}
		kept = fleet[0].address
		if n := one(); n != 0 {
			t.Errorf("%s: %d counted for one that is well", name, n)
		}
		set(fleet[0].state(t, fleet[0].incarnation()), true)
		for deadline := time.Now().Add(patience); one() == 0; { // the snapshot follows beside the calls
			if time.Now().After(deadline) {
				t.Fatalf("%s: none counted within %v", name, patience)
			}
		}
		for range 20 {
			if n := one(); n != 1 {
				t.Errorf("%s: a call counted %d times", name, n)
			}
		}
		if kept = fleet[1].address; one() != 0 {
			t.Errorf("%s: the better one was counted", name)
		}
	}
}

// TestObserveRule: at application level, with a rule that puts one address into a lane,
// calls for the lane go there and others do not, in mode observe as in plain dubbo-go:
// 60 references, and no difference is counted.
func TestObserveRule(t *testing.T) {
	observing(t)
	before := lossless.ReadDifferences()
	for n := range 60 {
		fleet := several(t, constant.TriProtocol, "", 2)
		text := fmt.Sprintf("configVersion: v3.0\nforce: false\nenabled: true\nkey: order\ntags:\n  - name: gray\n    addresses: [\"%s\"]\n", fleet[n%2].address)
		center.mu.Lock()
		center.texts["order"+constant.TagRouterRuleSuffix] = text
		center.mu.Unlock()
		rule, err := tagrouter.DecodeRule("order", "test", text)
		if err != nil {
			t.Fatal(err)
		}
		tagrouter.Rules.Put("order", rule)
		address := fmt.Sprintf("rule%d", n)
		list(address, fleet...)
		call := dial(t, client.WithProtocol(constant.TriProtocol), client.WithProvidedBy("order"), at(address, registry.WithRegisterService()))
		const calls = 20
		for range calls {
			for _, attachments := range []map[string]any{{tag.KeyTag: "gray"}, {}} {
				if err := call(context.Background(), attachments); err != nil {
					t.Fatal(err)
				}
			}
		}
		if gray, other := fleet[n%2].attempts.Load(), fleet[1-n%2].attempts.Load(); gray != calls || other != calls {
			t.Errorf("reference %d: the lane's one had %d calls, the other %d, want %d each", n, gray, other, calls)
		}
	}
	if after := lossless.ReadDifferences(); after != before {
		t.Errorf("differences counted: %+v, before %+v", after, before)
	}
}
