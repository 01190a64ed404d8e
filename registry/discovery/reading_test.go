// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// TestListsByParts: long lists, which several readers compare with the known at once,
// come to the same as short ones, whatever changes from one to the next: providers
// restart, join, leave and come back, get another tag or weight, are named twice, and
// stand in another order.
func TestListsByParts(t *testing.T) {
	const places = 3*readAtOnce + 5
	bubble(t, func(t *testing.T, d *Directory) {
		t.Helper()
		random := rand.New(rand.NewPCG(7, 11))
		type one struct {
			restarts, lane, weight int
			listed                 bool
		}
		fleet := make([]one, places)
		for n := range fleet {
			fleet[n] = one{weight: 100, listed: n%7 != 0}
		}
		order := random.Perm(places)
		for round := range 8 {
			for n := range fleet {
				switch p := &fleet[n]; random.IntN(60) {
				case 0:
					p.restarts++
				case 1:
					p.lane = random.IntN(3)
				case 2:
					p.weight = 50 + random.IntN(100)
				case 3:
					p.listed = !p.listed
				}
			}
			if round == 5 {
				order = random.Perm(places)
			}
			var urls, again []*common.URL
			said := map[string]*common.URL{} // by incarnation
			for _, n := range order {
				p := fleet[n]
				if !p.listed {
					continue
				}
				incarnation := fmt.Sprintf("%d.%d", n, p.restarts)
				u := providerURL(1+n, incarnation, 1+p.restarts, constant.WeightKey, strconv.Itoa(p.weight), constant.Tagkey, fmt.Sprint("lane", p.lane))
				urls, said[incarnation] = append(urls, u), u
				if random.IntN(50) == 0 { // where another reader may find it
					again = append(again, u)
				}
			}
			urls = append(urls, again...)
			d.all(urls...)
			time.Sleep(publishWithin) // of the bubble's clock: what newcomers wait for
			synctest.Wait()
			found := 0
			for _, e := range d.Endpoints() {
				if !e.Usable() {
					continue
				}
				found++
				u := said[e.Incarnation]
				if u == nil {
					t.Fatalf("round %d: %s is usable, and not listed", round, e.Incarnation)
				}
				if weight := fmt.Sprint(e.Weight); e.Tag != u.GetParam(constant.Tagkey, "") || weight != u.GetParam(constant.WeightKey, "") || e.Said() != u {
					t.Fatalf("round %d: %s has tag %s, weight %s and the URL %p; listed is %v (%p)", round, e.Incarnation, e.Tag, weight, e.Said(), u, u)
				}
			}
			if found != len(said) {
				t.Fatalf("round %d: %d usable, %d listed", round, found, len(said))
			}
			for n, p := range d.known {
				if int(p.nth) != n {
					t.Fatalf("round %d: %v stands at %d and takes itself for number %d", round, p.id, n, p.nth)
				}
			}
		}
	})
}
