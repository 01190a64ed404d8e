// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"maps"
	"net/url"
	"slices"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

func init() {
	for _, name := range []string{constant.TriProtocol, constant.DubboProtocol} {
		extension.SetProtocol(name, func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
	}
}

// paramsOf copies what the URLs of the connections say, by incarnation.
func paramsOf(d *Directory) map[string]url.Values {
	out := map[string]url.Values{}
	for _, e := range d.Endpoints() {
		values := url.Values{}
		e.Invoker.GetURL().RangeParams(func(key, value string) bool {
			values.Set(key, value)
			return true
		})
		out[e.Incarnation] = values
	}
	return out
}

func refers() (n int) {
	wire.Lock()
	defer wire.Unlock()
	for _, made := range wire.n {
		n += made
	}
	return n
}

// TestOverrideInPlace: of what overrides say of a whole reference, only what dubbo-go
// reads while it connects makes connections anew; all of it is what the URLs of all
// connections say for the next call, and none of it when the override is gone.
func TestOverrideInPlace(t *testing.T) {
	extension.SetLoadbalance("roundrobin", func() loadbalance.LoadBalance { return nil })
	rows := []struct {
		key, value   string
		known, other bool // whether it connects: over Triple and Dubbo, over another protocol
	}{
		{constant.RetriesKey, "1", false, false},
		{constant.LoadbalanceKey, "roundrobin", false, false},
		{constant.StickyKey, "true", false, false},
		{"methods.Get.retries", "1", false, false},
		{"methods.Get.loadbalance", "roundrobin", false, false},
		{"methods.Get.sticky", "true", false, false},
		{constant.ForksKey, "3", false, false},
		{"hash.nodes", "40", false, false},
		{"methods.Get.timeout", "200ms", false, true}, // the client of the protocol dubbo asks for it with each call
		{constant.TokenKey, "secret", false, true},    // so do both
		{"zone", "a", false, true},                    // a user's own protocol may read anything
		{constant.TimeoutKey, "700ms", true, true},
		{constant.SerializationKey, "hessian2", true, true},
		{constant.ReferenceFilterKey, "none", true, true},
		{constant.MaxCallRecvMsgSize, "5mib", true, true},
		{constant.MaxCallSendMsgSize, "5mib", true, true},
		{constant.KeepAliveInterval, "20s", true, true},
		{constant.KeepAliveTimeout, "20s", true, true},
	}
	extension.SetFilter("none", func() filter.Filter { return nil })
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol, "fakep"} {
		overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
			d.ref.Protocol = protocol
			d.override()
			own := map[int][]string{1: {constant.RetriesKey, "5", "zone", "b", "methods.Get.weight", "0"}, 2: nil, 3: nil}
			var urls []*common.URL
			for _, port := range []int{1, 2, 3} {
				u := providerURL(port, string(rune('a'+port-1)), 100, own[port]...)
				u.Protocol = protocol
				urls = append(urls, u)
			}
			d.all(urls...)
			before := paramsOf(d)
			if len(before) != 3 || refers() != 3 {
				t.Errorf("%s: %d endpoints, %d connections", protocol, len(before), refers())
			}
			for _, row := range rows {
				connects := 0
				if protocol == "fakep" && row.other || protocol != "fakep" && row.known {
					connects = 3
				}
				made := refers()
				b.put(ofApp, "0.0.0.0", "\""+row.key+"\": \""+row.value+"\"")
				if n := refers() - made; n != connects {
					t.Errorf("%s, %s: %d connections made, want %d", protocol, row.key, n, connects)
				}
				if got := d.Reference().GetParam(row.key, ""); got != row.value {
					t.Errorf("%s, %s: the reference says %q", protocol, row.key, got)
				}
				for id, values := range paramsOf(d) {
					want := maps.Clone(before[id])
					want.Set(row.key, row.value)
					if !maps.EqualFunc(values, want, slices.Equal) {
						t.Errorf("%s, %s: the connection to %s says %v, want %v", protocol, row.key, id, values, want)
					}
				}
				b.put(ofApp, "", "")
				if now := paramsOf(d); !maps.EqualFunc(now, before, func(a, b url.Values) bool { return maps.EqualFunc(a, b, slices.Equal) }) {
					t.Errorf("%s, %s: when it is gone they say %v, before %v", protocol, row.key, now, before)
				}
				time.Sleep(time.Minute) // connections that were replaced
			}
		})
	}
}

// TestOverrideInPlaceInTurn: what one override replaced is what the next one, and a new
// connection that comes in between, find.
func TestOverrideInPlaceInTurn(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		d.ref.Protocol = constant.TriProtocol
		u := providerURL(1, "a", 100, constant.RetriesKey, "5", "methods.Get.weight", "40")
		u.Protocol = constant.TriProtocol
		d.override()
		d.all(u)
		expect := func(step, retries, weight, timeout string, connections int) {
			t.Helper()
			u := d.Endpoints()[0].Invoker.GetURL()
			if r, w, l := u.GetParam(constant.RetriesKey, ""), u.GetParam("methods.Get.weight", ""), u.GetParam(constant.TimeoutKey, ""); r != retries || w != weight || l != timeout || refers() != connections {
				t.Errorf("%s: retries %q, weight of the method %q, timeout %q, %d connections; want %q, %q, %q, %d", step, r, w, l, refers(), retries, weight, timeout, connections)
			}
		}
		b.put(ofApp, "0.0.0.0", "retries: \"1\"")
		expect("first", "1", "40", "", 1)
		b.put(ofApp, "0.0.0.0", "retries: \"2\", methods.Get.weight: \"0\"") // see show: dubbo-go's balancers take 0 for unset
		expect("second", "2", "", "", 1)
		b.put(ofApp, "0.0.0.0", "retries: \"3\", timeout: 700")
		expect("with a new connection", "3", "40", "700ms", 2)
		b.put(ofApp, "0.0.0.0", "timeout: 700")
		expect("without retries", "5", "40", "700ms", 2)
		wire.Lock()
		wire.bad["a"] = 3
		wire.Unlock()
		b.put(ofApp, "0.0.0.0", "retries: \"4\"") // without the timeout, whose connection fails: what needs none holds
		expect("no new connection to be had", "4", "40", "700ms", 3)
		time.Sleep(time.Minute)
		expect("then one", "4", "40", "", 6)
		b.put(ofApp, "", "")
		expect("none any more", "5", "40", "", 6)
	})
}

// TestOverrideInPlaceMeanwhile: overrides that change while a connection is being made
// are written into it when it is there.
func TestOverrideInPlaceMeanwhile(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		d.ref.Protocol = constant.TriProtocol
		u := providerURL(1, "a", 100)
		u.Protocol = constant.TriProtocol
		wire.slow["a"] = 5 * time.Second
		b.put(ofApp, "0.0.0.0", "retries: \"1\", forks: \"3\"")
		d.override()
		d.all(u)
		b.put(ofApp, "0.0.0.0", "retries: \"2\"")
		time.Sleep(time.Minute)
		if u := d.Endpoints()[0].Invoker.GetURL(); u.GetParam(constant.RetriesKey, "") != "2" || u.GetParam(constant.ForksKey, "") != "" || refers() != 1 {
			t.Errorf("retries %q, forks %q, %d connections", u.GetParam(constant.RetriesKey, ""), u.GetParam(constant.ForksKey, ""), refers())
		}
	})
}
