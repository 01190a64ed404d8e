// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	rig "github.com/graylane/graylane/test/rig/nacos"
)

// testOutage:
//  1. the server is killed: nobody is told of an empty list, reads give the last one,
//     Check and Register name the address, constructors return at once
//  2. one more instance is to be registered meanwhile, one to leave
//  3. the server comes back empty: everything is registered again, every
//     subscription comes again
//  4. what registers and leaves from now on is seen.
func testOutage(t *testing.T, s *rig.Server, dir string, restart func() *rig.Server) (again *rig.Server) {
	t.Helper()
	noneOfOurs(t)
	service, application := unique("com.shop.Outage"), unique("outage")
	r, d := newRegistry(t, registryURL(s.Address())), newDiscovery(t, registryURL(s.Address()))
	for n := range 3 {
		if err := r.Register(provider(service, "tri", 1+n)); err != nil {
			t.Fatal(err)
		}
		if err := d.Register(instance(application, 1+n, map[string]string{"dubbo.tag": "gray"})); err != nil {
			t.Fatal(err)
		}
	}
	cr := newRegistry(t, far(s.Address(), constant.RegistryTimeoutKey, "300ms"))
	cd := newDiscovery(t, far(s.Address(), constant.RegistryTimeoutKey, "300ms"))
	providers, list := newProviders(), newInstances(application)
	subscribe(cr, consumer(service), providers)
	if err := cd.AddListener(list); err != nil {
		t.Fatal(err)
	}
	for range 20 { // services that come before in any order: none may hinder the others
		subscribe(cr, consumer(unique("com.shop.Other")), newProviders())
	}
	providers.expect(t, "tri:1=100", "tri:2=100", "tri:3=100")
	list.expect(t, application, "1(gray)=100 2(gray)=100 3(gray)=100")
	if err := Check(t.Context(), s.Address()); err != nil {
		t.Errorf("Check: %v", err)
	}

	// 1.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Check(t.Context(), s.Address()); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("Check of a server that is down: got %v, want an error with the address", err)
	}
	if got := cd.GetInstances(application); len(got) != 3 {
		t.Errorf("GetInstances while Nacos is down: got %v, want the last list", got)
	}
	if got := cd.GetInstances("never asked for"); got != nil {
		t.Errorf("GetInstances of what was never read: got %v, want nil", got)
	}
	began := time.Now()
	if err := cr.Register(provider(service, "tri", 9)); err == nil || !strings.Contains(err.Error(), s.Address()) {
		t.Errorf("Register while Nacos is down: got %v, want an error with the address", err)
	} else if took := time.Since(began); took > 5*time.Second {
		t.Errorf("Register while Nacos is down took %v, want about 300ms", took)
	}

	// 2.
	registered := make(chan error, 1)
	patient := newRegistry(t, registryURL(s.Address(), constant.RegistryTimeoutKey, "60s"))
	go func() { registered <- patient.Register(provider(service, "tri", 4)) }()
	if err := d.Unregister(instance(application, 3, nil)); err != nil {
		t.Error(err)
	}

	if _, _, empty := providers.counts(); empty != 0 {
		t.Errorf("%d empty lists while Nacos was down, want none", empty)
	}

	// 3.
	if err := os.RemoveAll(filepath.Join(dir, "home")); err != nil {
		t.Fatal(err)
	}
	again = restart()
	if again.Address() != s.Address() {
		t.Fatalf("it came back as %s, was %s", again.Address(), s.Address())
	}
	back := time.Now()
	if err := <-registered; err != nil {
		t.Error(err)
	}
	providers.expect(t, "tri:1=100", "tri:2=100", "tri:3=100", "tri:4=100")
	list.expect(t, application, "1(gray)=100 2(gray)=100")
	t.Logf("all lists are whole %v after the server was ready", time.Since(back).Round(time.Millisecond))

	// 4.
	if err := r.Register(provider(service, "tri", 5)); err != nil {
		t.Fatal(err)
	}
	if err := r.UnRegister(provider(service, "tri", 1)); err != nil {
		t.Fatal(err)
	}
	providers.expect(t, "tri:2=100", "tri:3=100", "tri:4=100", "tri:5=100")
	if err := d.Unregister(instance(application, 1, nil)); err != nil {
		t.Fatal(err)
	}
	list.expect(t, application, "2(gray)=100")
	for _, x := range []interface{ Destroy() }{r, cr, patient} {
		x.Destroy()
	}
	for _, x := range []*Discovery{d, cd} {
		_ = x.Destroy()
	}
	return again
}
