// SPDX-License-Identifier: Apache-2.0

package mixed

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// TestSharesInAMixedFleet: of three providers one runs Graylane; a caller, plain
// or not, at interface or application level, gives each a third of 5,000 calls
// within 3 points, which are 4.5 sigma. Nobody set a weight, and the window of the
// upgraded provider is over at once where the caller would heed it.
//
// Steps: 1. an etcd; 2. the providers, plain ones first, for dubbo-go's own etcd
// parts miss changes; 3. when all have registered, the callers, one by one.
func TestSharesInAMixedFleet(t *testing.T) {
	need.Long(t, "starts processes")
	const providers, calls = 3, 5_000
	for _, application := range []bool{false, true} {
		level := map[bool]string{false: "interface", true: "application"}[application]
		t.Run(level, func(t *testing.T) {
			// 1.
			server, err := etcd.Start(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(server.Close)

			// 2.
			var fleet []*child
			for n := range providers {
				r := role{Name: fmt.Sprintf("p%d", n), Port: ports.Free(), Etcd: server.Endpoint(), Application: application}
				fleet = append(fleet, start(t, r, n < providers-1))
			}
			prefix := "/dubbo/" + service + "/providers/"
			if application {
				prefix = "/services/order/"
			}
			awaitKeys(t, server.Endpoint(), prefix, fleet)

			// 3.
			for _, caller := range []struct {
				plain  bool
				policy string
			}{
				{true, ""},
				{false, ""},
				// dubbo-go's own round robin gives everything to the first provider of weight 0.
				{false, constant.LoadBalanceKeyRoundRobin},
				{false, constant.LoadBalanceKeyP2C},
			} {
				name := fmt.Sprintf("plain %t, %q", caller.plain, caller.policy)
				c := start(t, role{Etcd: server.Endpoint(), Application: application, Policy: caller.policy, Calls: calls, Providers: providers}, caller.plain)
				select {
				case counts, ok := <-c.shares:
					if !ok {
						t.Fatalf("%s: the caller ended without counts", name)
					}
					t.Logf("%s: %v", name, counts)
					for n := range providers {
						share := float64(counts[fmt.Sprintf("p%d", n)]) / calls
						if math.Abs(share-1.0/providers) > 0.03 {
							t.Errorf("%s: p%d got %.1f %%, want 33.3 ± 3", name, n, 100*share)
						}
					}
				case <-time.After(patience):
					t.Fatalf("%s: no counts within %v", name, patience)
				}
			}
		})
	}
}

// awaitKeys waits until each provider has a key below prefix.
func awaitKeys(t *testing.T, endpoint, prefix string, fleet []*child) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, p := range fleet {
		go func() {
			select {
			case <-p.shares: // it ended
				cancel()
			case <-ctx.Done():
			}
		}()
	}
	changes := c.Watch(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	for range changes {
		got, err := c.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil && int(got.Count) >= len(fleet) {
			return
		}
	}
	t.Fatalf("fewer than %d keys below %s within %v, or one ended", len(fleet), prefix, patience)
}
