// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/self"
)

// Who hears NOT_SERVING says so, once, to who would believe it.
func TestHeardNotServing(t *testing.T) {
	said := make(chan *http.Request, 10)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { said <- r }))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	u, err := common.NewURL("tri://" + s.Listener.Addr().String() + "/com.shop.Order")
	if err != nil {
		t.Fatal(err)
	}
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
