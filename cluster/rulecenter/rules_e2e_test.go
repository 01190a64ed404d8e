// SPDX-License-Identifier: Apache-2.0

package rulecenter_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/testkit/ports"
)

// shopKey is where the rule of the second application is.
const shopKey = "/dubbo/config/dubbo/shop.tag-router"

// three is a world with a third provider, of another application behind the interface.
// Texts that name who answers hold the ports in the order of consumer.answers.
type three struct {
	*world
	c int
}

func (w *three) seen(gray, base, blue []int) string {
	return fmt.Sprintf("SAY gray %s base %s blue %s rules", portsOf(gray), portsOf(base), portsOf(blue))
}

func portsOf(list []int) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, strconv.Itoa(p))
	}
	slices.Sort(texts)
	return strings.Join(texts, ",")
}

// tagged is a rule that gives each tag one address.
func tagged(app string, tags map[string]int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "configVersion: v3.0\nforce: false\nenabled: true\nkey: %s\ntags:\n", app)
	for name, port := range tags {
		fmt.Fprintf(&text, "  - name: %s\n    addresses: [\"127.0.0.1:%d\"]\n", name, port)
	}
	return text.String()
}

// putAll puts texts at a key, one after the other. An empty text is put, too.
func putAll(t *testing.T, endpoint, key string, texts ...string) {
	t.Helper()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, text := range texts {
		if _, err := c.Put(ctx, key, text); err != nil {
			t.Fatal(err)
		}
	}
}

// until waits for a line with text as await does, and fails the test if a call failed
// meanwhile.
func (p *process) until(text string) {
	p.t.Helper()
	late := time.After(patience)
	var last string
	for {
		select {
		case line := <-p.lines:
			switch {
			case strings.Contains(line, text):
				return
			case strings.Contains(line, "SAY failed"):
				p.t.Errorf("a call failed: %s", line)
			case strings.Contains(line, "SAY gray"):
				last = line
			}
		case <-late:
			p.t.Fatalf("no %q within %v, last: %q", text, patience, last)
		}
	}
}

// stays fails the test if others answer than before, or none, in the next 5 to 10
// rounds of calls.
func (p *process) stays() {
	p.t.Helper()
	late := time.After(patience)
	for rounds := 0; rounds < 2; {
		select {
		case line := <-p.lines:
			switch {
			case strings.Contains(line, "SAY "+unchanged):
				rounds++
			case strings.Contains(line, "SAY gray"), strings.Contains(line, "SAY failed"):
				p.t.Errorf("others answer: %s", line)
			}
		case <-late:
			p.t.Fatalf("no calls within %v", patience)
		}
	}
}

// TestLifeOfRules: rules over their life, in a process with two references, of which
// one has the tag blue, while it calls. No call fails.
//
//  1. no rule: all three answer all calls
//  2. a rule of the application order; shop's instance is in no lane
//  3. a rule of shop: each holds for its own instances; order's a is not in it
//  4. order's is emptied, shop's stays
//  5. a broken text: the log names key and line, the last good rule stays
//  6. rewritten 100 times: the last one holds
//  7. deleted.
func TestLifeOfRules(t *testing.T) {
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		t.Run(protocol, func(t *testing.T) {
			w := &three{&world{registry: startEtcd(t), protocol: protocol, a: ports.Free(), b: ports.Free()}, ports.Free()}
			for port, app := range map[int]string{w.a: "order", w.b: "order", w.c: "shop"} {
				start(t, role{Provider: port, App: app, Protocol: protocol, Registry: w.registry.Endpoint()})
			}
			endpoint := w.registry.Endpoint()
			conf := w.conf(t, fmt.Sprintf("  config-center: { protocol: etcdv3, address: \"%s\", timeout: 5s }\n", endpoint))
			web := start(t, role{Protocol: protocol, Registry: endpoint, Conf: conf, Second: "blue"})
			all := []int{w.a, w.b, w.c}
			// 1
			web.await(w.seen(all, all, all))
			// 2
			order := tagged("order", map[string]int{"gray": w.b})
			putAll(t, endpoint, ruleKey, order)
			web.until(w.seen([]int{w.b}, []int{w.a, w.c}, []int{w.a, w.c}))
			// 3
			putAll(t, endpoint, shopKey, tagged("shop", map[string]int{"blue": w.c, "gray": w.a}))
			web.until(w.seen([]int{w.b}, []int{w.a}, []int{w.c}))
			// 4
			putAll(t, endpoint, ruleKey, "")
			web.until(w.seen([]int{w.a, w.b}, []int{w.a, w.b}, []int{w.c}))
			putAll(t, endpoint, ruleKey, order)
			web.until(w.seen([]int{w.b}, []int{w.a}, []int{w.c}))
			// 5
			putAll(t, endpoint, ruleKey, order+"nonsense: 1\n")
			web.until(`tag rule of "order" (etcdv3 ` + strings.TrimPrefix(endpoint, "http://") + ` dubbo/order.tag-router): nonsense: line 8: unknown key`)
			web.stays()
			// 6
			off := "enabled: false\nkey: order\n"
			texts := slices.Repeat([]string{order, off}, 50)
			texts[len(texts)-1] = tagged("order", map[string]int{"gray": w.a})
			began := time.Now()
			putAll(t, endpoint, ruleKey, texts...)
			t.Logf("%d texts put within %v", len(texts), time.Since(began).Round(time.Millisecond))
			web.until(w.seen([]int{w.a}, []int{w.b}, []int{w.c}))
			web.stays()
			// 7
			put(t, endpoint, ruleKey, "")
			put(t, endpoint, shopKey, "")
			web.until(w.seen(all, all, all))
		})
	}
}

// TestAllTaggedAtStart: where all providers are tagged prod and there was never a
// baseline, they serve the calls without tag, and the log says so.
func TestAllTaggedAtStart(t *testing.T) {
	for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
		t.Run(protocol, func(t *testing.T) {
			w := &world{registry: startEtcd(t), protocol: protocol, a: ports.Free(), b: ports.Free()}
			for _, port := range []int{w.a, w.b} {
				start(t, role{Provider: port, App: "order", Tag: "prod", Protocol: protocol, Registry: w.registry.Endpoint()})
			}
			both := portsOf([]int{w.a, w.b})
			web := w.consumer(t, "")
			web.awaitAll("has no baseline: calls without tag are served by tagged instances", " base "+both)
		})
	}
}
