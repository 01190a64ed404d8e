// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/self"
)

// attentive starts a provider over Triple that notes what callers say to it.
func attentive(t *testing.T) (s *httptest.Server, said chan *http.Request, u *common.URL) {
	t.Helper()
	said = make(chan *http.Request, 10)
	s = httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { said <- r }))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	u, err := common.NewURL("tri://" + s.Listener.Addr().String() + "/com.shop.Order")
	if err != nil {
		t.Fatal(err)
	}
	return s, said, u
}

// Who hears NOT_SERVING says so, once, to who would believe it.
func TestHeardNotServing(t *testing.T) {
	s, said, u := attentive(t)
	var table endpoint.Table
	make1 := func(incarnation string, caller any) leaving {
		i := table.Acquire(u.Location, incarnation, "order", endpoint.Birth{})
		return leaving{i, &endpoint.Endpoint{Instance: i, Caller: caller}, u}
	}

	plain := make1("", nil)
	plain.heed()
	known := make1("aa", "gateway-1;aa") // the mark of an answer was first
	known.instance.MarkClosing()
	known.heed()
	unconnected := make1("bb", nil)
	unconnected.endpoint = nil
	unconnected.heed()
	l := make1("cc", "gateway-1;cc")
	l.heed()
	l.heed()

	select {
	case r := <-said:
		if caller, state := r.Header.Get("graylane-caller"), r.Header.Get("graylane-state"); r.URL.Path != "/grpc.health.v1.Health/Check" || r.ProtoMajor != 2 || caller != "gateway-1;cc" || state != "closing;cc" {
			t.Errorf("%s %s, %q says %q; want a health Check over HTTP/2 in which gateway-1 says that cc is closing", r.Proto, r.URL.Path, caller, state)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was said")
	}
	s.Close() // waits for what is under way
	if len(said) > 0 {
		t.Errorf("said again: %v", (<-said).Header)
	}
	for _, each := range []leaving{plain, known, unconnected, l} {
		if !each.instance.Closing() {
			t.Errorf("incarnation %q is still called", each.instance.Incarnation)
		}
	}
}

// Who hears of a leave from the registry alone says so, too: its health watch is gone.
func TestLeftWithoutNotServing(t *testing.T) {
	_, said, u := attentive(t)
	var table endpoint.Table
	d := newDirectory(registryURL())
	for _, tc := range []struct {
		name   string
		change func(*Directory, *provider)
		says   bool
	}{
		{"its answers or the watch have told", func(_ *Directory, p *provider) { p.instance.MarkClosing() }, false},
		{"it would not believe us", func(_ *Directory, p *provider) { p.endpoint.Caller = nil }, false},
		{"another process has its address", func(_ *Directory, p *provider) { p.replaced = true }, false},
		{"a cluster of dubbo-go's cannot reroute", func(d *Directory, _ *provider) { d.foreign = true }, false},
		{"it has never answered", func(_ *Directory, p *provider) {
			p.instance = &endpoint.Instance{Address: p.instance.Address, Incarnation: "new"}
			p.endpoint = &endpoint.Endpoint{Instance: p.instance, Invoker: p.endpoint.Invoker, Caller: p.endpoint.Caller}
		}, false},
		{"no watch", func(*Directory, *provider) {}, true}, // the last: what the others would say is said before
	} {
		i := table.Acquire(u.Location, tc.name, "order", endpoint.Birth{})
		e := &endpoint.Endpoint{Instance: i, Invoker: base.NewBaseInvoker(u), Caller: "gateway-1;" + tc.name}
		e.Begin(false)
		e.End(endpoint.Answered)
		p := &provider{instance: i, endpoint: e, merged: u}
		tc.change(d, p)
		d.mu.Lock()
		d.confirm(p)
		d.foreign = false
		d.mu.Unlock()
		if !tc.says {
			continue
		}
		select {
		case r := <-said:
			if caller, state := r.Header.Get("graylane-caller"), r.Header.Get("graylane-state"); caller != "gateway-1;"+tc.name || state != "closing;"+tc.name {
				t.Errorf("%q says %q, want only the one of %q to be told", caller, state, tc.name)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: nothing was said", tc.name)
		}
	}
}

// TestCaller: an instance is told who calls it, and that it is the one who is meant; one
// that names no incarnation would not believe it.
func TestCaller(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(providerURL(1, "a", 100), providerURL(2, "", 100))
		for _, e := range d.Endpoints() {
			want := any(self.CallerID("gateway") + ";a")
			if e.Incarnation != "a" {
				want = nil
			}
			if e.Caller != want {
				t.Errorf("to %q: %v, want %v", e.Incarnation, e.Caller, want)
			}
		}
		if len(d.Endpoints()) != 2 {
			t.Errorf("%d endpoints", len(d.Endpoints()))
		}
	})
}
