// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"golang.org/x/net/http2"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/need"
)

// counting is an address that counts the calls that come and answers none.
func counting(t *testing.T, k kind, n *atomic.Int64) string {
	t.Helper()
	serve := onRequest(func(net.Conn) { n.Add(1) })
	if k.protocol == constant.TriProtocol {
		serve = onCall(func(net.Conn, *http2.Framer, uint32) { n.Add(1) })
	}
	addr, _ := listen(t, serve)
	return addr
}

// TestRetries: with `unknown: dubbo` a call that is not answered is sent as often as
// the nearest explicit setting says, each time to another endpoint; dubbo-go's default
// of two retries is none.
func TestRetries(t *testing.T) {
	must(instance())(t) // it sets what TestMain configured
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	dubbos := old
	dubbos.Retry.Unknown = "dubbo"
	conf.Set(dubbos)

	type setting struct {
		name   string
		client []client.ClientOption
		ref    []client.ReferenceOption
		call   []client.CallOption
		want   int64
	}
	byClient := []client.ClientOption{client.WithClientRetries(1)}
	byReference := []client.ReferenceOption{client.WithRetries(2)}
	byMethod := []client.ReferenceOption{client.WithRetries(2), client.WithMethod(&global.MethodConfig{Name: "Call", Retries: "0"})}
	settings := []setting{
		{"nothing", nil, nil, nil, 1},
		{"the client", byClient, nil, nil, 2},
		{"the reference over it", byClient, byReference, nil, 3},
		{"the method over that", byClient, byMethod, nil, 1},
		{"the call over all", byClient, byMethod, []client.CallOption{client.WithCallRetries(1)}, 2},
	}
	const timeout = 500 * time.Millisecond // a request must come within it, on a busy machine, too
	for _, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			need.Long(t, "waits for timeouts")
			k.unlessRacing(t)
			before := lossless.ReadStats()
			var retried int64
			counts := make([]atomic.Int64, len(settings))
			ended := make(chan error, len(settings))
			for n, s := range settings {
				urls := make([]string, 4)
				for i := range urls {
					urls[i] = k.protocol + "://" + counting(t, k, &counts[n])
				}
				opts := append([]client.ClientOption{client.WithClientRequestTimeout(timeout)}, s.client...)
				cli := must(must(instance())(t).NewClient(opts...))(t)
				call := dialBy(t, cli, k, "graylane.retries", strings.Join(urls, ";"), s.ref...)
				retried += s.want - 1
				go func() {
					_, err := call(t.Context(), "x", s.call...)
					ended <- err
				}()
			}
			for range settings {
				if err := <-ended; err == nil {
					t.Error("somebody answered")
				}
			}
			for n, s := range settings {
				for deadline := time.Now().Add(5 * time.Second); counts[n].Load() < s.want && time.Now().Before(deadline); {
					time.Sleep(time.Millisecond) // the server may not have read the last one
				}
				if got := counts[n].Load(); got != s.want {
					t.Errorf("%s: sent %d times, want %d", s.name, got, s.want)
				}
			}
			after := lossless.ReadStats()
			if got := after.Retried - before.Retried; got != retried {
				t.Errorf("%d retries in all, want %d", got, retried)
			}
			if got := after.Unknown - before.Unknown; got != int64(len(settings)) {
				t.Errorf("%d calls left open, want each of the %d", got, len(settings))
			}
		})
	}
}
