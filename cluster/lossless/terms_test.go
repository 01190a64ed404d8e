// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
)

// changing is a directory whose reference changes.
type changing struct {
	*rig
	said *common.URL
	look []func()
}

func (c *changing) Reference() *common.URL { return c.said }

func (c *changing) Watch(fn func()) func() {
	c.look = append(c.look, fn)
	return func() { c.look = nil }
}

func (c *changing) say(more ...string) {
	c.said = c.url.SubURL.Clone()
	for n := 0; n < len(more); n += 2 {
		c.said.SetParam(more[n], more[n+1])
	}
	for _, fn := range c.look {
		fn()
	}
}

// TestOverriddenReference: timeout, retries, balancer and stickiness are what overrides
// say now; what sticks goes on sticking, and a balancer that nobody knows is ours.
func TestOverriddenReference(t *testing.T) {
	extension.SetLoadbalance("test-last", func() loadbalance.LoadBalance { return always(2) })
	r := newRig(t, constant.TriProtocol, "", "", "")
	d := &changing{rig: r, said: r.url.SubURL}
	i := New(d, d)
	t.Cleanup(i.Destroy)
	d.say(constant.TimeoutKey, "700ms", constant.RetriesKey, "1", constant.LoadbalanceKey, "test-last")
	now := i.terms.Load()
	if l, _ := now.limits.of("Get"); l.text != "700ms" || now.retries.reference != 1 || !now.retries.set || now.policy != "test-last" || now.sticky != nil {
		t.Errorf("%+v", now)
	}
	for range 20 {
		if err := i.Invoke(context.Background(), call1("Get", nil)).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.nodes[2].calls.Load(); got != 20 {
		t.Errorf("%d of 20 calls went where the balancer says", got)
	}
	d.say(constant.LoadbalanceKey, "nobody-knows", constant.StickyKey, "true")
	served := func() (by int) {
		for n, node := range r.nodes {
			if node.calls.Swap(0) > 0 {
				by |= 1 << n
			}
		}
		return by
	}
	served()
	for range 20 {
		if err := i.Invoke(context.Background(), call1("Get", nil)).Error(); err != nil {
			t.Fatal(err)
		}
	}
	one := served()
	d.say(constant.StickyKey, "true", constant.TimeoutKey, "900ms")
	for range 20 {
		if err := i.Invoke(context.Background(), call1("Get", nil)).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if again := served(); one&(one-1) != 0 || again != one {
		t.Errorf("sticky calls were served by %b, after a change of the timeout by %b", one, again)
	}
}

// meanwhile is a directory whose reference changes, and says so, while it is read for
// the first time.
type meanwhile struct {
	changing
	then func()
}

func (m *meanwhile) Reference() *common.URL {
	u := m.said
	if then := m.then; then != nil {
		m.then = nil
		then()
	}
	return u
}

// TestOverriddenWhileMade: what the reference says when its cluster is made does not
// replace what it said since.
func TestOverriddenWhileMade(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "")
	m := &meanwhile{changing: changing{rig: r, said: r.url.SubURL}}
	m.then = func() { m.say(constant.TimeoutKey, "700ms") }
	i := New(m, m)
	t.Cleanup(i.Destroy)
	if l, _ := i.terms.Load().limits.of("Get"); l.text != "700ms" {
		t.Errorf("timeout %v, want 700ms", l.text)
	}
}
