// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

// TestEmptyProtection: an empty list is held for 30 s, to the nanosecond, then
// believed; what was heard in between stays.
func TestEmptyProtection(t *testing.T) {
	a, b := providerURL(1, "a", 100), providerURL(2, "b", 100)
	for _, tc := range []struct {
		name    string
		f       func(d *Directory)
		until   []string // usable one nanosecond before 30 s
		believe []string // and at 30 s
	}{
		{"nothing more", func(*Directory) {}, []string{"a", "b"}, nil},
		{"empty again", func(d *Directory) { d.all() }, []string{"a", "b"}, nil},
		{"a full list", func(d *Directory) { d.all(a, b) }, []string{"a", "b"}, []string{"a", "b"}},
		{"a list of one", func(d *Directory) { d.all(b) }, []string{"a", "b"}, []string{"b"}},
		{"one comes back", func(d *Directory) { d.say(remoting.EventTypeAdd, a) }, []string{"a", "b"}, []string{"a"}},
		{"a newcomer", func(d *Directory) { d.say(remoting.EventTypeAdd, providerURL(3, "c", 1)) }, []string{"a", "b", "c"}, []string{"c"}},
		{"a Del is believed", func(d *Directory) { d.say(remoting.EventTypeDel, a) }, []string{"b"}, nil},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.all(a, b)
			d.all()
			tc.f(d)
			time.Sleep(30*time.Second - 1)
			synctest.Wait()
			want(t, d, tc.name+", held", tc.until...)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			want(t, d, tc.name+", believed", tc.believe...)
		})
	}
	bubble(t, func(t *testing.T, d *Directory) { // all said that they leave: nothing to hold
		d.all(a)
		d.Endpoints()[0].MarkClosing()
		d.all()
		time.Sleep(lingerTime + 2*sweepEvery)
		synctest.Wait()
		if n := len(d.Endpoints()); n != 0 {
			t.Errorf("%d closing endpoints were held", n)
		}
	})
}

// TestEmptyProtectionOfTheLiving: who has answered while the empty list was held is
// kept for as long again, each time; an explicit word beats that.
func TestEmptyProtectionOfTheLiving(t *testing.T) {
	a, b := providerURL(1, "a", 100), providerURL(2, "b", 100)
	end := func(e *endpoint.Endpoint, outcomes ...endpoint.Outcome) {
		for _, o := range outcomes {
			e.Begin(true)
			e.End(o)
		}
	}
	period := func() {
		time.Sleep(30 * time.Second)
		synctest.Wait()
	}
	for _, tc := range []struct {
		name string
		f    func(d *Directory, e *endpoint.Endpoint) // a's, while the list is held
		want []string                                 // when it is no longer
	}{
		{"it answered", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered) }, []string{"a"}},
		{"it answered and once took too long", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Unknown, endpoint.Answered) }, []string{"a"}},
		{"it answered, with an empty list after it", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.all() }, []string{"a"}},
		{"it refused", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Refused) }, nil},
		{"it was not there for a while", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Failed, endpoint.Answered) }, nil},
		{"it answered and marked itself", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); e.MarkClosing() }, nil},
		{"it answered and was put out", func(_ *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); e.SetOutlier(true) }, nil},
		{"it answered before its Del", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.say(remoting.EventTypeDel, a) }, nil},
		{"it answered before the operator's 0", func(d *Directory, e *endpoint.Endpoint) {
			end(e, endpoint.Answered)
			d.say(remoting.EventTypeUpdate, providerURL(1, "a", 100, constant.WeightKey, "0", meta.RegistryWeight, "0"))
		}, nil},
		{"it answered before a list without it", func(d *Directory, e *endpoint.Endpoint) { end(e, endpoint.Answered); d.all(b) }, []string{"a", "b"}},
	} {
		bubble(t, func(t *testing.T, d *Directory) {
			d.all(a, b)
			for _, e := range d.Endpoints() {
				end(e, endpoint.Answered) // before: says nothing of now
			}
			d.all()
			for _, e := range d.Endpoints() {
				if e.Incarnation == "a" {
					tc.f(d, e)
				}
			}
			period()
			want(t, d, tc.name, tc.want...)
		})
	}
	bubble(t, func(t *testing.T, d *Directory) {
		d.all(a, b)
		d.all()
		both := d.Endpoints()
		for _, e := range both {
			end(e, endpoint.Answered)
		}
		period()
		want(t, d, "both answered", "a", "b")
		for _, e := range both {
			if e.Incarnation == "b" {
				end(e, endpoint.Answered)
			}
		}
		d.all()
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		want(t, d, "one nanosecond before the second look", "a", "b")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		want(t, d, "one of them answered again", "b")
		d.say(remoting.EventTypeAdd, b)
		period()
		want(t, d, "listed again it need not answer", "b")
		period()
		want(t, d, "nor later", "b")
	})
}
