// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/meta"
)

// TestBrokenList: a list that lacks half or more of the usable endpoints soon after the
// registry was away is held like an empty one; any other list is believed at once.
func TestBrokenList(t *testing.T) {
	a, b, c := providerURL(1, "a", 100), providerURL(2, "b", 100), providerURL(3, "c", 100)
	by := func(d *Directory, incarnation string) *endpoint.Endpoint {
		for _, e := range d.Endpoints() {
			if e.Incarnation == incarnation {
				return e
			}
		}
		t.Fatalf("no endpoint %s", incarnation)
		return nil
	}
	answer := func(d *Directory, incarnation string) {
		e := by(d, incarnation)
		e.Begin(true)
		e.End(endpoint.Answered)
	}
	const never = -1
	for _, tc := range []struct {
		name    string
		back    time.Duration // how long ago the registry was back
		f       func(d *Directory)
		now     []string // usable at once
		believe []string // and 30 s later
	}{
		{"half of it missing", 0, func(d *Directory) { d.all(a) }, []string{"a", "b", "c"}, []string{"a"}},
		{"one of it missing", 0, func(d *Directory) { d.all(a, b) }, []string{"a", "b"}, []string{"a", "b"}},
		{"one by one they come", 0, func(d *Directory) { d.all(a); d.all(a, b); d.all(a, b, c) }, []string{"a", "b", "c"}, []string{"a", "b", "c"}},
		{"two come", 0, func(d *Directory) { d.all(a); d.all(a, b) }, []string{"a", "b", "c"}, []string{"a", "b"}},
		{"a newcomer among them", 0, func(d *Directory) { d.all(providerURL(4, "d", 200)) }, []string{"a", "b", "c", "d"}, []string{"d"}},
		{"one of the missing answers", 0, func(d *Directory) { d.all(a); answer(d, "b") }, []string{"a", "b", "c"}, []string{"a", "b"}},
		{"the missing said that they leave", 0, func(d *Directory) { by(d, "b").MarkClosing(); by(d, "c").MarkClosing(); d.all(a) }, []string{"a"}, []string{"a"}},
		{"the missing failed", 0, func(d *Directory) { by(d, "b").SetOutlier(true); by(d, "c").SetOutlier(true); d.all(a) }, []string{"a"}, []string{"a"}},
		{"one is another process now", 0, func(d *Directory) { d.all(providerURL(2, "b2", 200)) }, []string{"a", "b2", "c"}, []string{"b2"}},
		{"a deletion", 0, func(d *Directory) { d.all(a); d.say(remoting.EventTypeDel, b) }, []string{"a", "c"}, []string{"a"}},
		{"the operator's 0", 0, func(d *Directory) {
			d.all(a, providerURL(2, "b", 100, constant.WeightKey, "0", meta.RegistryWeight, "0"))
		}, []string{"a", "c"}, []string{"a"}},
		{"just before the end", 30 * time.Second, func(d *Directory) { d.all(a) }, []string{"a", "b", "c"}, []string{"a"}},
		{"long after", 30*time.Second + 1, func(d *Directory) { d.all(a) }, []string{"a"}, []string{"a"}},
		{"it never was away", never, func(d *Directory) { d.all(a) }, []string{"a"}, []string{"a"}},
	} {
		bubble(t, func(t *testing.T, d *Directory) { //nolint:thelper // the test itself
			d.all(a, b, c)
			back := time.Now()
			d.sources[0].back = func() time.Time {
				if tc.back == never {
					return time.Time{}
				}
				return back
			}
			time.Sleep(max(tc.back, 0))
			tc.f(d)
			synctest.Wait()
			want(t, d, tc.name+", at once", tc.now...)
			time.Sleep(30*time.Second - 1)
			synctest.Wait()
			want(t, d, tc.name+", held", tc.now...)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			want(t, d, tc.name+", believed", tc.believe...)
		})
	}
}
