// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// thousand are the providers of these tests.
func thousand() (urls []*common.URL) {
	for n := range 1000 {
		urls = append(urls, providerURL(20000+n, fmt.Sprintf("%016x", n), 100))
	}
	return urls
}

// single tells a directory of each by itself.
func single(d *Directory, action remoting.EventType, urls []*common.URL) {
	for _, u := range urls {
		d.sources[0].Notify(&registry.ServiceEvent{Action: action, Service: u})
	}
}

// TestBurst: a thousand single events make a few lists, not a thousand; the first is
// published at once, all are at latest 10 ms after the last, and who leaves is not
// usable at once.
func TestBurst(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		var told atomic.Int32
		d.Watch(func() { told.Add(1) })
		urls := thousand()
		usable := func() (n int) {
			for _, e := range d.Endpoints() {
				if e.Usable() {
					n++
				}
			}
			return n
		}
		expect := func(step string, endpoints int) {
			t.Helper()
			synctest.Wait()
			if n := usable(); n != endpoints {
				t.Errorf("%s: %d usable, want %d", step, n, endpoints)
			}
			if n := told.Load(); n > burstFrom+1 {
				t.Errorf("%s: published %d times, want at most %d", step, n, burstFrom+1)
			}
		}
		single(d, remoting.EventTypeAdd, urls[:1])
		expect("one", 1)
		single(d, remoting.EventTypeAdd, urls[1:])
		select {
		case <-d.connected():
			t.Error("connections that are not published count as made")
		default:
		}
		time.Sleep(publishWithin)
		expect("a thousand", 1000)
		<-d.connected()
		time.Sleep(publishWithin)
		told.Store(0)
		single(d, remoting.EventTypeDel, urls[1:])
		expect("all but one leave", 1)
		time.Sleep(publishWithin)
		expect("and are published", 1)
		told.Store(0)
		for n := range 100 { // no burst: each at once
			time.Sleep(publishWithin)
			single(d, []remoting.EventType{remoting.EventTypeAdd, remoting.EventTypeDel}[n%2], urls[1:2])
			synctest.Wait()
			if got, want := usable(), 2-n%2; got != want {
				t.Fatalf("event %d by itself: %d usable, want %d", n, got, want)
			}
		}
	})
}

// BenchmarkEvents: a thousand providers come and go, by one list each or one by one.
func BenchmarkEvents(b *testing.B) {
	urls := thousand()
	events := make([]*registry.ServiceEvent, 0, len(urls))
	for _, u := range urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeAdd, Service: u})
	}
	for name, tell := range map[string]func(d *Directory){
		"list": func(d *Directory) {
			d.sources[0].NotifyAll(events, nil)
			<-d.connected()
			d.sources[0].NotifyAll(events[:1], nil)
		},
		"single": func(d *Directory) {
			single(d, remoting.EventTypeAdd, urls)
			<-d.connected()
			single(d, remoting.EventTypeDel, urls[1:])
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				newWire()
				u := registryURL()
				d := newDirectory(u)
				d.newSource(u, u.SubURL)
				tell(d)
				d.Destroy()
			}
		})
	}
}
