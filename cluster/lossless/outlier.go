// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"sync"
	"time"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/cluster/tagrouter"
	"github.com/graylane/graylane/internal/conf"
)

// strikesOut is the number of timeouts or unavailable answers in a row that
// make an outlier; a failed dial does so at once.
const strikesOut = 5

// ejections counts how often in a row an instance has been put out, so that the
// time doubles.
var ejections struct { //nolint:gochecknoglobals // instances are shared by all references of the process
	sync.Mutex
	m map[*endpoint.Instance]int
}

// eject keeps an instance out until its time is over and it shows a sign of life
// in the protocol that it serves. The time doubles with each ejection, up to
// max-ejection-time.
func eject(i *endpoint.Instance, protocol, why string) {
	if i.SetOutlier(true) {
		keepOut(i, protocol, why)
	}
}

// doubt keeps an instance out until it is known whether anybody is there: at once, if
// it shows a sign of life, which counts as no ejection.
func doubt(i *endpoint.Instance, protocol, why string) {
	if !i.SetOutlier(true) {
		return
	}
	go func() {
		if alive(protocol, i.Address, probeTimeout) {
			i.SetOutlier(false)
			return
		}
		keepOut(i, protocol, why)
	}()
}

// keepOut counts the ejection of an instance, and lets it in again by a probe.
func keepOut(i *endpoint.Instance, protocol, why string) {
	ejections.Lock()
	if ejections.m == nil {
		ejections.m = make(map[*endpoint.Instance]int)
	}
	n := ejections.m[i]
	ejections.m[i] = n + 1
	ejections.Unlock()
	stats.ejected.Add(1)
	logger.Warnf("[graylane] outlier %s (incarnation %q): %s", i.Address, i.Incarnation, why)
	time.AfterFunc(ejectionTime(n), func() { probe(i, protocol) })
}

func ejectionTime(n int) time.Duration {
	c := conf.Current().Outlier
	d := c.BaseEjectionTime
	for range min(n, 32) {
		if d *= 2; d >= c.MaxEjectionTime {
			break
		}
	}
	return min(d, c.MaxEjectionTime)
}

// probe lets an instance in again once it is alive.
func probe(i *endpoint.Instance, protocol string) {
	if i.Over() { // it left, or nobody knows it any more
		forget(i)
		return
	}
	if !alive(protocol, i.Address, probeTimeout) {
		time.AfterFunc(min(probeEvery, conf.Current().Outlier.MaxEjectionTime), func() { probe(i, protocol) })
		return
	}
	i.SetOutlier(false)
	ejections.Lock()
	n := ejections.m[i]
	ejections.Unlock()
	time.AfterFunc(conf.Current().Outlier.MaxEjectionTime, func() {
		ejections.Lock()
		defer ejections.Unlock()
		if ejections.m[i] == n { // it has behaved since: the next ejection is a first one
			delete(ejections.m, i)
		}
	})
}

func forget(i *endpoint.Instance) {
	ejections.Lock()
	delete(ejections.m, i)
	ejections.Unlock()
}

// striking makes one decision at a time, so that two do not each spare the other.
var striking sync.Mutex //nolint:gochecknoglobals // outliers are those of the process

// strike counts a failure that is no proof, and ejects after strikesOut in a row
// if the level has others and max-ejection-percent of it are not out already:
// these ejections never change a call's level.
func strike(e *endpoint.Endpoint, d *tagrouter.Decision) {
	if e.Strike() < strikesOut {
		return
	}
	striking.Lock()
	defer striking.Unlock()
	usable, staying := d.Left()
	out := staying - usable + 1
	if !e.Usable() || usable < 2 || float64(out)*100 > conf.Current().Outlier.MaxEjectionPercent*float64(staying) {
		return
	}
	eject(e.Instance, protocolOf(e), "timeouts or unavailable answers in a row")
}

func protocolOf(e *endpoint.Endpoint) string {
	if u := e.Invoker.GetURL(); u != nil {
		return u.Protocol
	}
	return ""
}
