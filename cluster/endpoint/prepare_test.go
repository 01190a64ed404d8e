// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// What calls asked for of one snapshot's pools is there before the next is in force.
func TestPrepare(t *testing.T) {
	list := func(addresses ...string) *Pool {
		var l []*Endpoint
		for _, a := range addresses {
			u := common.NewURLWithOptions(common.WithLocation(a))
			l = append(l, &Endpoint{Instance: &Instance{Address: a}, Invoker: base.NewBaseInvoker(u), Weight: 1})
		}
		return NewPool(l, Ramp{Exponent: 1, Boost: 1})
	}
	last := []*Pool{list("a", "b"), list("c")}
	same, other := list("a", "b"), list("a", "b", "d")
	Prepare([]*Pool{same}, last)
	if same.foreign.Load() != nil {
		t.Error("made what nobody asked for")
	}
	ring := last[0].Foreign().Ring(16)
	Prepare([]*Pool{same, other}, last)
	for _, p := range []*Pool{same, other} {
		f := p.foreign.Load()
		if f == nil {
			t.Fatal("the next pool is not prepared")
		}
		if _, ok := f.rings.Load(16); !ok {
			t.Error("the next pool has no ring")
		}
	}
	if same.Foreign().Ring(16) != ring {
		t.Error("the same addresses, and another ring")
	}
	if other.Foreign().Ring(16) == ring {
		t.Error("other addresses, and the same ring")
	}
}
