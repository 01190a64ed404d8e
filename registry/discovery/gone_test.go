// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
)

// TestVanished: a provider over dubbo that left is kept while somebody listens at its
// address, at most for lingerTime, and destroyed soon after nobody does; its calls in
// flight end first. What is listed is kept, whoever listens, and what comes back is new.
func TestVanished(t *testing.T) {
	extension.SetProtocol(constant.DubboProtocol, func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
	const soon = 2*firstLook + 2*sweepEvery
	rig := func(t *testing.T, f func(t *testing.T, d *Directory, u *common.URL, end func())) {
		t.Helper()
		bubble(t, func(t *testing.T, d *Directory) {
			d.ref.Protocol = "" // any
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			u, err := common.NewURL(strings.Replace(strings.Replace(providerURL(1, "a", 100).String(), "fakep:", "dubbo:", 1), "127.0.0.1:1/", l.Addr().String()+"/", 1))
			if err != nil {
				t.Fatal(err)
			}
			d.all(u, providerURL(2, "other", 100))
			want(t, d, "first list", "a", "other")
			f(t, d, u, func() { _ = l.Close() })
		})
	}
	rest := providerURL(2, "other", 100)
	pass := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
	}
	t.Run("it goes on listening", func(t *testing.T) {
		rig(t, func(t *testing.T, d *Directory, _ *common.URL, _ func()) {
			d.all(rest)
			pass(lingerTime - 2*sweepEvery)
			if !alive("a") {
				t.Error("destroyed while it listens")
			}
		})
	})
	t.Run("it ends", func(t *testing.T) {
		rig(t, func(t *testing.T, d *Directory, _ *common.URL, end func()) {
			e := d.Endpoints()[0]
			if e.Incarnation != "a" {
				e = d.Endpoints()[1]
			}
			if !e.Begin(false) {
				t.Fatal("does not begin")
			}
			d.all(rest)
			end()
			pass(soon)
			if !alive("a") || len(d.Endpoints()) != 1 {
				t.Errorf("alive %v, %d endpoints; want it alive for its call and not listed", alive("a"), len(d.Endpoints()))
			}
			e.End(endpoint.Answered)
			synctest.Wait()
			if alive("a") {
				t.Error("alive after its last call")
			}
		})
	})
	t.Run("it ends though it is listed", func(t *testing.T) {
		rig(t, func(t *testing.T, d *Directory, _ *common.URL, end func()) {
			end()
			pass(lingerTime)
			if want(t, d, "listed", "a", "other"); !alive("a") {
				t.Error("destroyed while it is listed")
			}
		})
	})
	t.Run("it comes back", func(t *testing.T) {
		rig(t, func(t *testing.T, d *Directory, u *common.URL, end func()) {
			d.all(rest)
			end()
			pass(soon)
			d.all(rest, u)
			want(t, d, "listed again", "a", "other")
			pass(soon)
			if want(t, d, "later", "a", "other"); !alive("a") {
				t.Error("destroyed after it had come back")
			}
		})
	})
}
