// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/center"
)

// board is a config centre that holds texts, in one group.
type board struct {
	mu        sync.Mutex
	texts     map[string]string
	followers map[string][]func(string)
	down      bool // nothing is told
}

func (b *board) Groups() []string            { return []string{"dubbo"} }
func (b *board) Check(context.Context) error { return nil }
func (b *board) Close()                      {}

func (b *board) Follow(ctx context.Context, _, key string, tell func(string)) {
	b.mu.Lock()
	b.followers[key] = append(b.followers[key], tell)
	text, down := b.texts[key], b.down
	b.mu.Unlock()
	if !down {
		tell(text)
	}
	<-ctx.Done()
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.followers, key)
}

// put publishes parameters for a provider, "" for none.
func (b *board) put(key, provider, parameters string) {
	text := ""
	if parameters != "" {
		text = fmt.Sprintf("configs:\n  - providerAddresses: [\"%s\"]\n    parameters: { %s }\n", provider, parameters)
	}
	b.mu.Lock()
	b.texts[key] = text
	followers := b.followers[key]
	b.mu.Unlock()
	for _, tell := range followers {
		tell(text)
	}
	synctest.Wait()
}

const (
	ofService = service + "::" + constant.ConfiguratorSuffix
	ofApp     = "gateway" + constant.ConfiguratorSuffix
)

func overriddenBubble(t *testing.T, f func(*testing.T, *Directory, *board)) {
	t.Helper()
	bubble(t, func(t *testing.T, d *Directory) {
		b := &board{texts: map[string]string{}, followers: map[string][]func(string){}}
		center.SetCurrent(b, "board")
		f(t, d, b)
		d.Destroy()
		center.SetCurrent(nil, "")
		synctest.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		if len(b.followers) > 0 || len(overrideTexts.m) > 0 {
			t.Errorf("followed after the end: %v", overrideTexts.m)
		}
	})
}

// TestOverride: what changes in place, and what for a new connection; the service's word
// beats the application's.
func TestOverride(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		b.put(ofService, "127.0.0.1:1", "weight: 30")
		d.override()
		d.all(providerURL(1, "a", 100), providerURL(2, "b", 100, constant.WeightKey, "50"))
		inv := invocation.NewRPCInvocation("Get", nil, nil)
		expect := func(step string, want map[string]string, refers int) {
			t.Helper()
			if len(d.Endpoints()) != len(want) {
				t.Errorf("%s: %d endpoints, want %d", step, len(d.Endpoints()), len(want))
			}
			for _, e := range d.Endpoints() {
				u := e.Invoker.GetURL()
				got := fmt.Sprintf("%v %s %s", e.Weight, e.Tag, u.GetParam(constant.TimeoutKey, ""))
				if id := e.Incarnation; got != want[id] || loadbalance.GetWeight(e.Invoker, inv) != int64(e.Weight) {
					t.Errorf("%s: %s has %q, dubbo-go sees %d; want %q", step, id, got, loadbalance.GetWeight(e.Invoker, inv), want[id])
				}
			}
			if wire.n["a"] != refers {
				t.Errorf("%s: %d connections to a, want %d", step, wire.n["a"], refers)
			}
		}
		expect("there at the start", map[string]string{"a": "30  ", "b": "50  "}, 1)
		b.put(ofApp, "127.0.0.1:1", "weight: 20, dubbo.tag: gray")
		expect("the application's", map[string]string{"a": "30 gray ", "b": "50  "}, 1)
		b.put(ofService, "127.0.0.1:1", "weight: 0")
		expect("none", map[string]string{"a": "0 gray ", "b": "50  "}, 1)
		b.put(ofService, "127.0.0.1:1", "disabled: true")
		expect("disabled", map[string]string{"b": "50  "}, 1)
		b.put(ofService, "127.0.0.1:1", "timeout: 700")
		expect("a timeout", map[string]string{"a": "20 gray 700ms", "b": "50  "}, 2)
		b.put(ofApp, "", "")
		b.put(ofService, "", "")
		expect("none any more", map[string]string{"a": "100  ", "b": "50  "}, 3)
		if u := d.Reference(); u.GetParam(constant.TimeoutKey, "") != "" {
			t.Errorf("the reference has the timeout of a provider: %s", u)
		}
	})
}

// TestOverrideKeepsCalls: the connection that another one replaced ends when its last
// call has returned.
func TestOverrideKeepsCalls(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		d.override()
		d.all(providerURL(1, "a", 100))
		old, first := d.Endpoints()[0], wire.made["a"]
		if !old.Begin(false) {
			t.Fatal("it takes no call")
		}
		b.put(ofService, "127.0.0.1:1", "timeout: 700")
		if d.Endpoints()[0] == old {
			t.Fatal("the connection was not replaced")
		}
		if !old.Begin(false) {
			t.Error("a call that chose it just before does not begin")
		}
		time.Sleep(replacedFor)
		synctest.Wait()
		if first.IsDestroyed() {
			t.Error("destroyed under its calls")
		}
		old.End(0)
		old.End(0)
		synctest.Wait()
		if !first.IsDestroyed() || !alive("a") {
			t.Errorf("the old one destroyed: %t, the new one alive: %t", first.IsDestroyed(), alive("a"))
		}
		if !d.Endpoints()[0].Usable() {
			t.Error("the instance does not count as there any more")
		}
	})
}

// TestOverrideMeanwhile: overrides that change while a connection is being made, or made
// in vain, are those of the next one.
func TestOverrideMeanwhile(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		d.override()
		wire.slow["a"] = 5 * time.Second
		d.all(providerURL(1, "a", 100))
		b.put(ofService, "127.0.0.1:1", "timeout: 700")
		wire.Lock()
		wire.bad["a"] = 2
		wire.Unlock()
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := d.Endpoints()[0].Invoker.GetURL().GetParam(constant.TimeoutKey, ""); got != "700ms" {
			t.Errorf("timeout %q, want 700ms", got)
		}
	})
}

// TestOverrideOfTheReference: what names no provider is the reference's, and its
// watchers are told.
func TestOverrideOfTheReference(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		extension.SetLoadbalance("roundrobin", func() loadbalance.LoadBalance { return nil })
		b.down = true
		began := time.Now()
		d.override() // a centre that does not answer is waited for
		if waited := time.Since(began); waited != firstList {
			t.Errorf("waited %v, want %v", waited, firstList)
		}
		told := 0
		defer d.Watch(func() { told++ })()
		b.put(ofApp, "0.0.0.0", "retries: 1, loadbalance: roundrobin")
		if u := d.Reference(); told != 1 || u.GetParam(constant.RetriesKey, "") != "1" || u.GetParam(constant.LoadbalanceKey, "") != "roundrobin" {
			t.Errorf("told %d times, reference %s", told, u)
		}
		if d.ref.GetParam(constant.RetriesKey, "") != "" {
			t.Error("the reference itself was written to")
		}
		b.put(ofApp, "0.0.0.0", "retries: [") // a text that cannot be read
		if told != 1 || d.Reference().GetParam(constant.RetriesKey, "") != "1" {
			t.Errorf("a bad text: told %d times, reference %s", told, d.Reference())
		}
	})
}

// TestOverrideWithUnknownBalancer: neither a reference nor a connection gets one.
func TestOverrideWithUnknownBalancer(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		b.put(ofApp, "0.0.0.0", "retries: 1, loadbalance: nobody-knows, methods.Get.loadbalance: nobody-knows")
		d.override()
		d.all(providerURL(1, "a", 100))
		connected := wire.made["a"].GetURL()
		for name, u := range map[string]*common.URL{"reference": d.Reference(), "connection": connected} {
			if u.GetParam(constant.RetriesKey, "") != "1" || u.GetParam(constant.LoadbalanceKey, "") != "" || u.GetParam("methods.Get.loadbalance", "") != "" {
				t.Errorf("%s: %s", name, u)
			}
		}
	})
}

// TestOverrideWithUnknownFilter: dubbo-go makes a chain of nils of filters that nobody
// registered, and every call panics. What held before stays, in each kind of item.
func TestOverrideWithUnknownFilter(t *testing.T) {
	extension.SetFilter("known", func() filter.Filter { return nil })
	extension.SetFilter("own", func() filter.Filter { return nil })
	for _, provider := range []string{"0.0.0.0", "127.0.0.1:1"} {
		overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
			log := listen(t)
			d.ref.SetParam(constant.ReferenceFilterKey, "own")
			d.override()
			d.all(providerURL(1, "a", 100))
			for _, step := range []struct{ value, want string }{
				{"nope", "own"},
				{"known,nope", "own"},
				{"default,nope", "own"},
				{"known", "known"},
				{"nope", "known"},
				{" default, known", "own,known"},
				{"known, -own", "known"},
				{"-own,-nope", ""},
				{"known,default", "known,own"},
			} {
				b.put(ofApp, provider, fmt.Sprintf("%s: %q, retries: 1", constant.ReferenceFilterKey, step.value))
				u := d.Endpoints()[0].Invoker.GetURL()
				if got := u.GetParam(constant.ReferenceFilterKey, ""); got != step.want || u.GetParam(constant.RetriesKey, "") != "1" {
					t.Errorf("%s, %q: filters %q, want %q; retries %q", provider, step.value, got, step.want, u.GetParam(constant.RetriesKey, ""))
				}
				time.Sleep(time.Minute) // connections that were replaced
			}
			for _, value := range []string{"nope", "known,nope", "default,nope"} {
				log.once(t, "board dubbo/"+ofApp, service, fmt.Sprintf("reference.filter: got %q, want", value), "known")
			}
		})
		unknownNames.Clear()
	}
}

// TestOverrideWithUnknownCluster: as with a balancer, one warning.
func TestOverrideWithUnknownCluster(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		log := listen(t)
		d.override()
		d.all(providerURL(1, "a", 100))
		for range 2 {
			b.put(ofApp, "0.0.0.0", "cluster: nope, retries: 1")
			if u := d.Reference(); u.GetParam(constant.ClusterKey, "") != "" || u.GetParam(constant.RetriesKey, "") != "1" {
				t.Errorf("reference %s", u)
			}
			b.put(ofApp, "", "")
		}
		log.once(t, "board dubbo/"+ofApp, `cluster: got "nope", want`)
	})
}

// TestOverrideOfNoUse: a text with values that no call could be made with changes nothing.
func TestOverrideOfNoUse(t *testing.T) {
	overriddenBubble(t, func(t *testing.T, d *Directory, b *board) {
		log := listen(t)
		d.override()
		d.all(providerURL(1, "a", 100))
		b.put(ofApp, "0.0.0.0", "weight: 30, disabled: false")
		b.put(ofApp, "0.0.0.0", "weight: abc, dubbo.tag: a b, interface: com.other, disabled: \"TRUE\"")
		if all := d.Endpoints(); len(all) != 1 || all[0].Weight != 30 || all[0].Tag != "" || all[0].Invoker.GetURL().Interface() != service {
			t.Errorf("%v", all)
		}
		log.once(t, "board dubbo/"+ofApp, `parameters.weight: got "abc"`, `parameters.dubbo.tag: got "a b"`, `parameters.interface: got "com.other"`, "line 3")
		b.put(ofApp, "0.0.0.0", "disabled: \"TRUE\"")
		if all := d.Endpoints(); len(all) != 0 {
			t.Errorf("disabled, but %v", all)
		}
	})
}

// tap is the logger of the process. It is set once, since goroutines that a former test
// has left may be reading it.
type tap struct {
	logger.Logger
	to atomic.Pointer[warnings]
}

var log tap

func init() {
	logger.SetLoggerLevel("error")
	log.Logger = logger.GetLogger()
	logger.SetLogger(&log)
}

func (l *tap) Warnf(format string, args ...any) {
	if w := l.to.Load(); w != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.lines = append(w.lines, fmt.Sprintf(format, args...))
	}
}

// warnings are the lines that the log gets meanwhile.
type warnings struct {
	mu    sync.Mutex
	lines []string
}

func listen(t *testing.T) *warnings {
	t.Helper()
	w := &warnings{}
	log.to.Store(w)
	t.Cleanup(func() { log.to.Store(nil) })
	return w
}

// once wants one line that has all the parts.
func (w *warnings) once(t *testing.T, parts ...string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, line := range w.lines {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d lines with %q, want 1: %q", n, parts, w.lines)
	}
}

// TestOneWaitForATextThatMayNotBeRead: the second who waits does not, though others answer.
func TestOneWaitForATextThatMayNotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer centreSilent.Store(false)
		centreSilent.Store(false)
		read := make(chan struct{})
		close(read)
		o := overriding{texts: []*overrideText{{key: "refused", read: make(chan struct{})}, {key: "other", read: read}}}
		for _, want := range []time.Duration{firstList, 0} {
			began := time.Now()
			o.await()
			if waited := time.Since(began); waited != want {
				t.Errorf("waited %v, want %v", waited, want)
			}
			centreSilent.Store(false) // as another text does that is told
		}
	})
}
