// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"
)

// endings is dubbo-go's exporter of a service.
type endings struct {
	base.Exporter
	n atomic.Int32
}

func (e *endings) UnExport() { e.n.Add(1) }

// TestUnExportTakenBack: a service that its callers know ends shutdown.notice after
// its last registry was left, unless it is exported again meanwhile; the notice of a
// second leaving is whole.
func TestUnExportTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newTestManager()
		notice := m.settings().Shutdown.Notice
		r := m.registrarFor(registryURL(t, "registry", "127.0.0.1:8848", "a"))
		r.inner = struct{ registry.Registry }{}
		inner := &endings{}
		export := func() base.Exporter {
			r.asked["shop"] = &service{}
			return m.exporterOf(inner, r, "shop")
		}
		sleep := func(d time.Duration, ended int, step string) {
			time.Sleep(d)
			synctest.Wait()
			if int(inner.n.Load()) != ended {
				t.Errorf("%s: ended %d times, want %d", step, inner.n.Load(), ended)
			}
		}
		first := export()
		first.UnExport()
		sleep(notice/2, 0, "its callers have not heard yet")
		second := export()
		sleep(2*notice, 0, "exported again")
		second.UnExport()
		sleep(notice/2, 0, "left again")
		third := export()
		third.UnExport()
		sleep(notice-1, 0, "one nanosecond before the end of the last notice")
		sleep(1, 1, "at its end")
		sleep(time.Hour, 1, "later")
		if len(m.ending)+len(m.exporters) != 0 {
			t.Errorf("%d and %d are remembered", len(m.ending), len(m.exporters))
		}
	})
}
