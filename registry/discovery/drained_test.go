// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

// TestOperatorsWeight: the weight that a registry's operator gives counts with its
// fraction; 0 takes a provider out at once, also the only one, whatever protects
// empty lists, and the call that it has goes on.
func TestOperatorsWeight(t *testing.T) {
	weigh := func(w string) []string { return []string{meta.RegistryWeight, w, "weight", "1"} }
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100, weigh("0.4")...))
		want(t, d, "first list", "a", "b")
		for _, e := range d.Endpoints() {
			if w := map[string]float64{"a": 100, "b": 0.4}[e.Incarnation]; e.Weight != w {
				t.Errorf("%s weighs %v, want %v", e.Incarnation, e.Weight, w)
			}
		}
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100, weigh("0")...))
		want(t, d, "b weighs 0", "a")
		if n := len(d.Endpoints()); n != 1 {
			t.Errorf("b weighs 0: %d endpoints, want 1: not even one that is closing", n)
		}
		e := d.Endpoints()[0]
		if !e.Begin(false) {
			t.Fatal("does not begin")
		}
		d.all(providerURL(1, "a", 100, weigh("0")...), providerURL(2, "b", 100, weigh("0")...))
		want(t, d, "all weigh 0")
		if n := len(d.Endpoints()); n != 0 || !alive("a") {
			t.Errorf("all weigh 0: %d endpoints, want none; the call's connection is alive: %t", n, alive("a"))
		}
		e.End(endpoint.Answered)
		d.all(providerURL(1, "a", 100, weigh("250")...))
		want(t, d, "a has its weight again", "a")
		d.say(remoting.EventTypeUpdate, providerURL(1, "a", 100, weigh("0")...))
		want(t, d, "single event")
	})
}

// TestOperatorsWeightOfAnInstance: what our Nacos registry says of an instance
// reaches its URLs; where the operator said nothing, the service's own weight counts.
func TestOperatorsWeightOfAnInstance(t *testing.T) {
	for _, tc := range []struct {
		word, own, service string
		want               float64
	}{{"0", "1", "", 0}, {"0.4", "1", "", 0.4}, {"250", "", "30", 250}, {"", "", "30", 30}, {"", "70", "30", 70}, {"", "", "", 100}} {
		i := plain(func(i *registry.DefaultServiceInstance) {
			i.Weight, i.Metadata[meta.RegistryWeight], i.Metadata["weight"] = 1, tc.word, tc.own
		})
		list := weighed(wrap([]registry.ServiceInstance{i}), "nacos|127.0.0.1:8848|||")
		u := list[0].ToURLs(info.NewServiceInfo(service, "", "", "tri", service, map[string]string{"weight": tc.service}))[0]
		if got := meta.Weight(func(k string) string { return u.GetParam(k, "") }); got != tc.want {
			t.Errorf("%+v: the URL weighs %v: %s", tc, got, u)
		}
	}
}
