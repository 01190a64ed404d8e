// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/dubbogo/go-zookeeper/zk"
)

const (
	window   = 16 * time.Second
	parts    = 4   // of the window, each looked at for itself
	rampRate = 150 // calls a second of each consumer
)

// newcomer is a provider that warms up, as one consumer sees it.
type newcomer struct {
	name string
	// factor bounds the part of its weight that it should get by a call that starts at t.
	factor func(t time.Time) (low, high float64)
}

// ramp: a Go and a Java provider of a window of 16 s join while both consumers send
// calls. Java's balancers weigh them by Java's formula and the start that they
// published, which lies between the start of their process and the moment when they
// were ready; Graylane gives them P(i) of the calls.
func (r *rounds) ramp() {
	loads := map[*peer]*batch{}
	for _, from := range []*peer{r.fromGo, r.fromJava} {
		loads[from] = r.load(from, "", rampRate, 0, endless)
	}
	young := []*peer{r.start(spec{Name: "newGo", Window: window}), r.start(spec{Name: "newJava", Java: true, Window: window})}
	defer func() { r.baseline = append(r.baseline, young...) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	warm := func() bool { // every one has been ready for longer than its window
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range young {
			if p.readyAt.IsZero() || time.Since(p.readyAt) < window+2*time.Second {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(window + patience); !warm(); <-tick.C {
		if time.Now().After(end) {
			r.t.Fatalf("%s: the newcomers were not ready within %v", r.protocol, patience)
		}
		r.mu.Lock()
		n := r.fromJava.weighed
		r.mu.Unlock()
		if err := r.fromJava.Tell("weights"); err != nil {
			r.t.Fatal(err)
		}
		r.await("weights", func() bool { return r.fromJava.weighed > n })
	}
	calls := map[*peer][]call{r.fromGo: loads[r.fromGo].stop(), r.fromJava: loads[r.fromJava].stop()}
	published := r.javasWeights(young)
	for from, list := range calls {
		r.count(list, slices.Concat(r.baseline, young)...)
		var met time.Time // when the consumer had met both
		var seen []newcomer
		for _, p := range young {
			first := firstBy(list, p.spec.Name)
			if first.IsZero() {
				r.t.Errorf("%s never called %s", from.spec.Name, p.spec.Name)
				return
			}
			if first.After(met) {
				met = first
			}
			if from == r.fromJava {
				seen = append(seen, newcomer{p.spec.Name, javaFactor(published[p])})
			} else {
				seen = append(seen, newcomer{p.spec.Name, factorOf(r.registered(p), first)})
			}
		}
		r.compare(from, list, met, seen)
	}
}

// javaWeight is Dubbo Java's formula (AbstractLoadBalance.calculateWarmupWeight), for
// a weight of 100: uptime/warmup*weight, cut, at least 1. Its numbers are floats.
func javaWeight(uptime time.Duration) int {
	ms := uptime.Milliseconds()
	switch {
	case ms < 0:
		return 1
	case ms >= window.Milliseconds() || ms == 0:
		return 100
	}
	return min(max(int(float32(ms)/(float32(window.Milliseconds())/100)), 1), 100)
}

func javaFactor(published time.Time) func(time.Time) (low, high float64) {
	return func(t time.Time) (low, high float64) {
		f := float64(javaWeight(t.Sub(published))) / 100
		return f, f
	}
}

// factorOf is Graylane's, linear from 10 %: an instance that the consumer saw appear has
// the age that the consumer measures, from a moment between its registration and the
// first call.
func factorOf(registered, first time.Time) func(time.Time) (low, high float64) {
	f := func(age time.Duration) float64 {
		return min(max(float64(age)/float64(window), 0.1), 1)
	}
	return func(t time.Time) (low, high float64) { return f(t.Sub(first)), f(t.Sub(registered)) }
}

// javasWeights checks what Java's balancers computed, and returns the start of each
// that they saw.
func (r *rounds) javasWeights(young []*peer) map[*peer]time.Time {
	r.t.Helper()
	published := map[*peer]time.Time{}
	for _, p := range young {
		ramping, full := 0, 0
		var text strings.Builder
		for _, w := range r.fromJava.weights {
			if w.address != fmt.Sprintf("127.0.0.1:%d", p.spec.Port) {
				continue
			}
			start := time.UnixMilli(w.timestamp)
			published[p] = start
			if start.Before(p.launched.Truncate(time.Millisecond)) || start.After(p.readyAt) {
				r.t.Errorf("%s: Java has a start of %v; the process was launched at %v and ready at %v", p.spec.Name, start, p.launched, p.readyAt)
			}
			if w.warmup != window.Milliseconds() {
				r.t.Errorf("%s: Java has a window of %d ms, want %d", p.spec.Name, w.warmup, window.Milliseconds())
			}
			low, high := javaWeight(time.UnixMilli(w.before).Sub(start)), javaWeight(time.UnixMilli(w.after).Sub(start))
			if w.weight < low || w.weight > high {
				r.t.Errorf("%s: at %d ms Java gives it %d, want %d to %d", p.spec.Name, w.before-w.timestamp, w.weight, low, high)
			}
			if w.weight < 100 {
				ramping++
			} else {
				full++
			}
			fmt.Fprintf(&text, " %d at %.1f s,", w.weight, float64(w.before-w.timestamp)/1000)
		}
		r.t.Logf("%s: Java's weights:%s", p.spec.Name, text.String())
		if !p.spec.Java && (ramping < 5 || full < 1) {
			r.t.Errorf("%s: %d weights of the ramp and %d full ones were seen, want 5 and 1 at least", p.spec.Name, ramping, full)
		}
	}
	return published
}

func firstBy(calls []call, name string) (first time.Time) {
	for _, c := range calls {
		if c.by == name && (first.IsZero() || c.start.Before(first)) {
			first = c.start
		}
	}
	return first
}

// compare looks at the newcomers' shares of the calls that started after met, slice by
// slice. The expected count of a slice is the sum of the calls' chances.
func (r *rounds) compare(from *peer, calls []call, met time.Time, young []newcomer) {
	r.t.Helper()
	warm := float64(len(r.baseline))
	type sums struct {
		calls, got          int
		low, high, variance float64
	}
	for n, x := range young {
		var of [parts + 1]sums // the last one is for when it is warm
		for _, c := range calls {
			if !c.start.After(met) {
				continue
			}
			lowOthers, highOthers := warm, warm
			for m, y := range young {
				if m != n {
					low, high := y.factor(c.start)
					lowOthers, highOthers = lowOthers+low, highOthers+high
				}
			}
			low, high := x.factor(c.start)
			low, high = low/(low+highOthers), high/(high+lowOthers)
			s := &of[min(int(c.start.Sub(met)/(window/parts)), parts)]
			s.calls++
			s.low, s.high, s.variance = s.low+low, s.high+high, s.variance+(low+high)/2*(1-(low+high)/2)
			if c.by == x.name {
				s.got++
			}
		}
		var text strings.Builder
		for k, s := range of {
			if s.calls == 0 {
				continue
			}
			z := max(s.low-float64(s.got), float64(s.got)-s.high, 0) / math.Sqrt(s.variance)
			fmt.Fprintf(&text, " %d (%.0f to %.0f, z %.1f)", s.got, s.low, s.high, z)
			if z > sigmas {
				r.t.Errorf("%s: %s got %d of the %d calls of slice %d, want %.0f to %.0f, z = %.1f", from.spec.Name, x.name, s.got, s.calls, k, s.low, s.high, z)
			}
		}
		r.t.Logf("%s: %s got%s", from.spec.Name, x.name, text.String())
	}
}

// registered is when ZooKeeper, which has the same clock, took in the instance.
func (r *rounds) registered(p *peer) time.Time {
	r.t.Helper()
	conn, _, err := zk.Connect([]string{r.registry}, 10*time.Second, zk.WithLogInfo(false))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	app := map[bool]string{false: "order-go", true: "order-java"}[p.spec.Java]
	path := fmt.Sprintf("/services/%s/127.0.0.1:%d", app, p.spec.Port)
	there, stat, err := conn.Exists(path)
	if err != nil || !there {
		r.t.Fatalf("%s in ZooKeeper: %t, %v", path, there, err)
	}
	return time.UnixMilli(stat.Ctime)
}
