// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions that TestNacos lists are the tests themselves
package nacos

import (
	"errors"
	"testing"

	rig "github.com/graylane/graylane/test/rig/nacos"
)

// testDisabled: the only instance of a service is disabled by the operator: that is
// told as the weight 0, at both levels; enabled again it is back; one that leaves is
// told as that.
func testDisabled(t *testing.T, s *rig.Server) {
	noLeak(t)
	service, app := unique("com.shop.Disabled"), unique("disabled")
	r, d := newRegistry(t, registryURL(s.Address())), newDiscovery(t, registryURL(s.Address()))
	if err := errors.Join(r.Register(provider(service, "tri", 20001)), d.Register(instance(app, 1, nil))); err != nil {
		t.Fatal(err)
	}
	cr, cd := newRegistry(t, far(s.Address())), newDiscovery(t, far(s.Address()))
	urls, list := newProviders(), newInstances(app)
	subscribe(cr, consumer(service), urls)
	if err := cd.AddListener(list); err != nil {
		t.Fatal(err)
	}
	urls.expect(t, "tri:20001=100")
	list.expect(t, app, "1()=100")
	for _, tc := range []struct{ enabled, url, instance string }{
		{"false", "tri:20001=0", "1()=0"},
		{"true", "tri:20001=100", "1()=100"},
		{"false", "tri:20001=0", "1()=0"},
	} {
		set(t, s, "providers:"+service+"::", 20001, "weight", "1", "enabled", tc.enabled)
		set(t, s, app, 1, "weight", "1", "enabled", tc.enabled)
		urls.expect(t, tc.url)
		list.expect(t, app, tc.instance)
	}
	if err := errors.Join(r.UnRegister(provider(service, "tri", 20001)), d.Unregister(instance(app, 1, nil))); err != nil {
		t.Fatal(err)
	}
	urls.expect(t)
	list.expect(t, app, "")
}
