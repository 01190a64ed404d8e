// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	center "github.com/graylane/graylane/internal/center/nacos"
	"github.com/graylane/graylane/internal/nacoslogin"
	rig "github.com/graylane/graylane/test/rig/nacos"
)

// Steps of this test, on a real server that wants an account:
//  1. without one, and with a wrong password, nothing is registered or read; the error
//     names the account, not the password, and Check says so, too;
//  2. with it both levels register and subscribe, and a rule is followed;
//  3. the token's life is over: one more registers, is seen, and the rule changes;
//  4. the server comes back with another secret, which makes all tokens void: all is
//     registered and followed again.
func TestAccounts(t *testing.T) {
	needNacos(t)
	noneOfOurs(t)
	const life = 6 * time.Second
	dir := t.TempDir()
	run := func(secret string) *rig.Server {
		s, err := rig.Start(t.Context(), dir, rig.Accounts(life, secret)...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		eventually(t, "it knows its account, some seconds after it serves", func() bool {
			a := nacoslogin.Account{Username: "nacos", Password: "nacos"}
			_, err := a.Token(t.Context(), "http://"+s.Address()+"/nacos")
			return err == nil
		})
		return s
	}
	s := run("one")
	account := []string{constant.NacosUsername, "nacos", constant.NacosPassword, "nacos"}
	service, application := unique("com.shop.Accounts"), unique("accounts")

	// 1.
	for _, params := range [][]string{nil, {constant.NacosUsername, "nacos", constant.NacosPassword, "wrong-one"}} {
		u := registryURL(s.Address(), append(params, constant.RegistryTimeoutKey, "8s")...)
		r := newRegistry(t, u)
		err := r.Register(provider(service, "tri", 1))
		if err == nil || strings.Contains(err.Error(), "wrong-one") || params != nil && !strings.Contains(err.Error(), "log in as nacos") {
			t.Errorf("%v: Register: %v, want an error with the account, without the password", params, err)
		}
		if err := r.LoadSubscribeInstances(consumer(service), newProviders()); err == nil {
			t.Errorf("%v: a list was read", params)
		}
		r.Destroy()
	}

	// 2.
	r, d := newRegistry(t, registryURL(s.Address(), account...)), newDiscovery(t, registryURL(s.Address(), account...))
	if err := r.Register(provider(service, "tri", 1)); err != nil {
		t.Fatal(err)
	}
	if err := d.Register(instance(application, 1, map[string]string{"dubbo.tag": "gray"})); err != nil {
		t.Fatal(err)
	}
	elsewhere := append([]string{constant.NacosAppNameKey, "far"}, account...) // a connection of its own
	cr, cd := newRegistry(t, registryURL(s.Address(), elsewhere...)), newDiscovery(t, registryURL(s.Address(), elsewhere...))
	providers, list := newProviders(), newInstances(application)
	subscribe(cr, consumer(service), providers)
	if err := cd.AddListener(list); err != nil {
		t.Fatal(err)
	}
	providers.expect(t, "tri:1=100")
	list.expect(t, application, "1(gray)=100")
	told := followRule(t, s)
	publish(t, s, "a")
	told.expect(t, "a")
	began := time.Now()

	// 3.
	eventually(t, "the token's life is over", func() bool { return time.Since(began) > life+time.Second })
	if err := r.Register(provider(service, "tri", 2)); err != nil {
		t.Fatal(err)
	}
	providers.expect(t, "tri:1=100", "tri:2=100")
	if n := len(cd.GetInstances(application)); n != 1 {
		t.Errorf("%d instances with an old token, want 1", n)
	}
	publish(t, s, "b")
	told.expect(t, "b")

	// 4.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = run("two")
	if err := d.Register(instance(application, 2, nil)); err != nil {
		t.Fatal(err)
	}
	list.expect(t, application, "1(gray)=100 2()=100")
	if err := r.Register(provider(service, "tri", 3)); err != nil {
		t.Fatal(err)
	}
	providers.expect(t, "tri:1=100", "tri:2=100", "tri:3=100")
	publish(t, s, "c")
	told.expect(t, "c")
	for _, x := range []interface{ Destroy() }{r, cr} {
		x.Destroy()
	}
	for _, x := range []*Discovery{d, cd} {
		_ = x.Destroy()
	}
}

// rules are the texts that a follower was told.
type rules chan string

func (r rules) expect(t *testing.T, want string) {
	t.Helper()
	for end := time.After(time.Minute); ; {
		select {
		case got := <-r:
			if got == want {
				return
			}
		case <-end:
			t.Fatalf("not told %q", want)
		}
	}
}

// followRule follows a rule of the config centre with the account.
func followRule(t *testing.T, s *rig.Server) rules {
	t.Helper()
	u, err := common.NewURL("nacos://"+s.Address(), common.WithLocation(s.Address()), common.WithUsername("nacos"), common.WithPassword("nacos"))
	if err != nil {
		t.Fatal(err)
	}
	source, err := center.New(u)
	if err != nil {
		t.Fatal(err)
	}
	told := make(rules, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		source.Follow(ctx, "dubbo", "accounts.tag-router", func(text string) { told <- text })
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		source.Close()
	})
	return told
}

// publish writes the rule as the console does.
func publish(t *testing.T, s *rig.Server, text string) {
	t.Helper()
	a := nacoslogin.Account{Username: "nacos", Password: "nacos"}
	base := "http://" + s.Address() + "/nacos"
	token, err := a.Token(t.Context(), base)
	if err != nil {
		t.Fatal(err)
	}
	form := url.Values{"dataId": {"accounts.tag-router"}, "group": {"dubbo"}, "content": {text}, "accessToken": {token}}
	status, body, err := nacoslogin.Do(t.Context(), http.MethodPost, base+"/v1/cs/configs", form.Encode())
	if err != nil || status != http.StatusOK {
		t.Fatalf("publish: %d %s %v", status, body, err)
	}
}
