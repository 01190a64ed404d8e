// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/remoting"
)

// TestASlowConnectionHoldsNobodyUp: while a connection is being made, the others of
// its list are usable, and what the registry says meanwhile of others counts at once.
func TestASlowConnectionHoldsNobodyUp(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		wire.slow["a"] = 3 * time.Second
		begin := time.Now()
		at := func(after time.Duration) {
			time.Sleep(after - time.Since(begin))
			synctest.Wait()
		}
		const soon = 2 * publishWithin // connections of a burst may wait that long for each other
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100))
		at(soon)
		want(t, d, "the list", "b")
		at(time.Second)
		d.say(remoting.EventTypeAdd, providerURL(3, "c", 100))
		at(time.Second + soon)
		want(t, d, "a newcomer", "b", "c")
		at(2 * time.Second)
		d.say(remoting.EventTypeDel, providerURL(2, "b", 100))
		want(t, d, "one that left", "c")
		at(3*time.Second - time.Millisecond)
		want(t, d, "before it is connected", "c")
		at(3*time.Second + soon)
		want(t, d, "connected", "a", "c")
	})
}
