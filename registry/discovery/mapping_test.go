// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/registry"
	gxset "github.com/dubbogo/gost/container/set"
)

// wordless is a registry that says nothing to who subscribes.
type wordless struct {
	mu    sync.Mutex
	asked []string
}

func (r *wordless) SubscribeURL(_ *common.URL, _ registry.NotifyListener, apps *gxset.HashSet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, app := range apps.Values() {
		r.asked = append(r.asked, app.(string))
	}
}

// TestAskedUntilHeard: an application that nothing was heard of is asked for again, 1 and
// then 2 seconds later, until it is heard; one that joins asks for itself.
func TestAskedUntilHeard(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		s, r := d.sources[0], new(wordless)
		a := s.mapped(r, s)
		check := func(when string, want int, app string) {
			t.Helper()
			synctest.Wait()
			r.mu.Lock()
			defer r.mu.Unlock()
			if len(r.asked) != want || r.asked[want-1] != app {
				t.Errorf("%s: asked for %q, want %d, %q the last", when, r.asked, want, app)
			}
		}
		a.follow(gxset.NewSet("order"))
		check("at once", 1, "order")
		time.Sleep(redial)
		check("a second later", 2, "order")
		time.Sleep(2 * redial)
		check("two more", 3, "order")
		s.heard()
		time.Sleep(time.Minute)
		check("heard", 3, "order")

		a.follow(gxset.NewSet("order", "shop"))
		check("shop joins", 4, "shop")
		time.Sleep(redial)
		check("a second later", 5, "shop")
	})
}
