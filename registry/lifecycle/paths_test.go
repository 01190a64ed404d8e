// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/graceful_shutdown"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/go-zookeeper/zk"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
	"github.com/graylane/graylane/test/rig/nacos"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// live is a real registry that can go and come again at its address.
type live struct {
	kind, url     string
	stop, restart func() error
}

// servers start one of each kind.
var servers = map[string]func(t *testing.T) live{
	"etcdv3": func(t *testing.T) live {
		t.Helper()
		s, err := etcd.Start(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return live{"etcdv3", s.Endpoint(), func() error { s.Stop(); return nil }, s.Restart}
	},
	"zookeeper": func(t *testing.T) live {
		t.Helper()
		need.Part(t, zookeeper.Missing())
		s, err := zookeeper.Start(t.Context(), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return live{"zookeeper", s.Address(), s.Close, func() error { return s.Restart(t.Context()) }}
	},
	"nacos": func(t *testing.T) live {
		t.Helper()
		need.Part(t, nacos.Missing())
		dir := t.TempDir()
		s, err := nacos.Start(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return live{"nacos", s.Address(), func() error { return s.Close() }, func() error {
			again, err := nacos.Start(t.Context(), dir)
			if err == nil {
				s = again
			}
			return err
		}}
	},
}

// path is a consumer's way to providers: one of the twelve.
type path struct {
	name string
	port func(p provider) int
	dir  endpoint.Source
}

var references int

// follow makes a reference.
func (s live) follow(t *testing.T, protocol string, application bool, service string) path {
	t.Helper()
	cli, err := client.NewClient(client.WithClientShutdown(graceful_shutdown.WithoutInternalSignal()))
	if err != nil {
		t.Fatal(err)
	}
	references++ // each its own registry, as in a process of its own
	level, name := registry.WithRegisterInterface(), "interface"
	if application {
		level, name = registry.WithRegisterService(), "application"
	}
	opts := []client.ReferenceOption{
		client.WithRegistry(registry.WithRegistry(s.kind), registry.WithAddress(s.url), registry.WithID("c"+strconv.Itoa(references)), level,
			registry.WithoutUseAsMetaReport(), registry.WithoutUseAsConfigCenter()),
		client.WithProvidedBy("shop"), client.WithProtocol(protocol), client.WithInterface(service),
		client.WithCluster("lifecycle-reading"), client.WithFilter("-cshutdown"),
	}
	if _, err := cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"Call"}}, opts...); err != nil {
		t.Fatal(err)
	}
	p := path{name: s.kind + " " + name + " " + protocol, dir: joined.(endpoint.Source), port: func(p provider) int { return p.Tri }}
	if protocol == constant.DubboProtocol {
		p.port = func(p provider) int { return p.Dubbo }
	}
	t.Cleanup(joined.Destroy)
	return p
}

// told is what a path must say of a running provider.
func (p path) told(c *child, by provider) string {
	return fmt.Sprintf("%d %s tag=%s weight=%s window=1m30s", p.port(by), c.await("SAY incarnation "), by.Tag, by.Weight)
}

// usable lists what the path says.
func (p path) usable() (list []string) {
	for _, e := range p.dir.Endpoints() {
		if e.Usable() {
			_, port, _ := strings.Cut(e.Address, ":")
			window, _ := strconv.Atoi(e.Said().GetParam(tag.MetaWarmupTime, ""))
			list = append(list, fmt.Sprintf("%s %s tag=%s weight=%v window=%v", port, e.Incarnation, e.Tag, e.Weight, time.Duration(window)*time.Millisecond))
		}
	}
	slices.Sort(list)
	return list
}

// born returns when the path says that an incarnation became ready, and how old it
// takes it to be.
func (p path) born(t *testing.T, incarnation string) (at time.Time, age time.Duration) {
	t.Helper()
	for _, e := range p.dir.Endpoints() {
		if e.Incarnation == incarnation {
			ms, err := strconv.ParseInt(e.Said().GetParam(tag.MetaStartTime, ""), 10, 64)
			if err != nil || e.Warm() {
				t.Errorf("%s: %s: start %v, warm %v", p.name, incarnation, err, e.Warm())
			}
			return time.UnixMilli(ms), e.Age()
		}
	}
	t.Fatalf("%s: no %s", p.name, incarnation)
	return at, age
}

// expect waits until the path says what it must.
func (p path) expect(t *testing.T, step string, want ...string) {
	t.Helper()
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = p.usable(); slices.Equal(got, want) {
			return
		}
	}
	t.Fatalf("%s: %s has\n%s\nwant\n%s", p.name, step, strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// TestPaths runs on each real registry:
//  1. a provider of several services over two protocols: over both protocols and at
//     both levels a consumer that starts now has its tag, weight, start and window
//     at once, the same everywhere;
//  2. another one with other values comes by a push, intact;
//  3. the first restarts on its address with another tag: used with that push, and it
//     warms again;
//  4. one of its services is unexported: it leaves on all paths, the others stay;
//  5. the first leaves;
//
// and then the steps of testComesBack.
func TestPaths(t *testing.T) {
	need.Long(t, "starts processes")
	for _, kind := range []string{"etcdv3", "zookeeper", "nacos"} {
		t.Run(kind, func(t *testing.T) {
			s := servers[kind](t)
			t.Run("metadata", func(t *testing.T) { testPaths(t, s) })
			t.Run("comes back", func(t *testing.T) { testComesBack(t, s) })
		})
	}
}

func (s live) provider(tag, weight string) provider {
	return provider{
		Tri: ports.Free(), Dubbo: ports.Free(), More: true, Both: true, Require: true, Timeout: patience, Shutdown: quick,
		Registries: []string{s.kind + "://" + s.url}, Tag: tag, Weight: weight,
	}
}

func testPaths(t *testing.T, s live) {
	t.Helper()
	one, two := s.provider("gray", "30"), s.provider("blue", "250")

	// 1.
	began := time.Now()
	first := start(t, one)
	first.await("SAY ready")
	ready := time.Now()
	var paths, more []path
	for _, application := range []bool{false, true} {
		for _, protocol := range []string{"tri", "dubbo"} {
			p := s.follow(t, protocol, application, triService)
			if got, want := p.usable(), p.told(first, one); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: the first list has %q, want %q", p.name, got, want)
			}
			paths, more = append(paths, p), append(more, s.follow(t, protocol, application, moreService))
		}
	}
	incarnation := first.await("SAY incarnation ")
	same, _ := paths[0].born(t, incarnation)
	for _, p := range paths {
		if at, _ := p.born(t, incarnation); !at.Equal(same) || at.Before(began.Truncate(time.Millisecond)) || at.After(ready) {
			t.Errorf("%s: born %v, elsewhere %v; it was started %v and ready %v", p.name, at, same, began, ready)
		}
	}

	// 2.
	second := start(t, two)
	second.await("SAY ready")
	for _, p := range slices.Concat(paths, more) {
		p.expect(t, "with a second provider", p.told(first, one), p.told(second, two))
	}

	// 3.
	first.called(one)
	first.terminate()
	first.exit(0)
	one.Tag = "green"
	again := time.Now()
	first = start(t, one)
	first.await("SAY ready")
	for _, p := range slices.Concat(paths, more) {
		p.expect(t, "after a restart", p.told(first, one), p.told(second, two))
	}
	for _, p := range paths {
		if at, age := p.born(t, first.await("SAY incarnation ")); at.Before(again.Truncate(time.Millisecond)) || age > time.Since(again) {
			t.Errorf("%s: restarted at %v, it says %v, and is taken to be %v old", p.name, again, at, age)
		}
	}

	// 4.
	second.tell("unexport " + moreService)
	second.await("SAY unexported " + moreService)
	for _, p := range more {
		p.expect(t, "unexported", p.told(first, one))
	}
	for _, p := range paths {
		p.expect(t, "another service unexported", p.told(first, one), p.told(second, two))
	}

	// 5.
	first.called(one)
	second.called(two)
	first.terminate()
	for _, p := range paths {
		p.expect(t, "one left", p.told(second, two))
	}
	first.exit(0) // not killed, nor the second: the registry would list them for a while yet
	second.terminate()
	second.exit(0)
}

// called calls the child over both protocols: dubbo-go races with itself when a server
// stops that nobody ever called.
func (c *child) called(p provider) {
	c.t.Helper()
	for protocol, port := range map[string]int{"tri": p.Tri, "dubbo": p.Dubbo} {
		c.serves(protocol, port) // the connection over dubbo may be the one to a former process
	}
}

// testComesBack:
//  1. the registry is down: a process that does not require it serves direct calls
//     and is not ready;
//  2. the registry is back: it registers at both levels over both protocols, born
//     then, and is ready.
func testComesBack(t *testing.T, s live) {
	t.Helper()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	p := s.provider("gray", "30")
	p.Require, p.Timeout = false, 200*time.Millisecond
	c := start(t, p)

	// 1.
	c.await("trying again until it succeeds")
	if _, err := c.dial("tri", p.Tri)("", "1ms"); err != nil {
		t.Errorf("a direct call: %v", err)
	}
	c.never("SAY ready")

	// 2.
	back := time.Now()
	if err := s.restart(); err != nil {
		t.Fatal(err)
	}
	c.await("SAY ready")
	for _, application := range []bool{false, true} {
		for _, protocol := range []string{"tri", "dubbo"} {
			path := s.follow(t, protocol, application, triService)
			path.expect(t, "when it is back", path.told(c, p))
			if at, _ := path.born(t, c.await("SAY incarnation ")); at.Before(back.Truncate(time.Millisecond)) {
				t.Errorf("%s: born %v, before the registry was back at %v", path.name, at, back)
			}
		}
	}
}

// A provider that hangs when it is asked what it offers holds nobody up. Steps:
//  1. of two providers with different services one is stopped by SIGSTOP; a consumer
//     that starts now has the other at once;
//  2. a third one, with services of its own, comes: used without waiting;
//  3. SIGCONT: the second is used, too.
func TestHungProviderHoldsNobodyUp(t *testing.T) {
	need.Long(t, "starts processes")
	s := servers["etcdv3"](t)
	providers := []provider{s.provider("gray", "30"), s.provider("blue", "40"), s.provider("", "50")}
	providers[0].More, providers[2].Dubbo = false, 0
	var children []*child
	for _, p := range providers[:2] {
		c := start(t, p)
		c.await("SAY ready")
		children = append(children, c)
	}
	hung := children[1].cmd.Process

	// 1.
	if err := hung.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hung.Signal(syscall.SIGCONT) })
	p := s.follow(t, "tri", true, triService)
	if got, want := p.usable(), p.told(children[0], providers[0]); !slices.Equal(got, []string{want}) {
		t.Errorf("the first list has %q, want %q", got, want)
	}

	// 2.
	third := start(t, providers[2])
	third.await("SAY ready")
	ready := time.Now()
	providers[2].Tag = "gray" // its default
	p.expect(t, "with a third", p.told(children[0], providers[0]), p.told(third, providers[2]))
	if took := time.Since(ready); took > 3*time.Second {
		t.Errorf("the third was used %v after it was ready: as long as the one that hangs takes", took)
	}

	// 3.
	if err := hung.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.expect(t, "going on", p.told(children[0], providers[0]), p.told(children[1], providers[1]), p.told(third, providers[2]))
}

// Two ZooKeepers, as two etcds do in TestServicesAndRegistries: what a process
// registers is at both, and nothing is left at either when it leaves.
func TestTwoZooKeepers(t *testing.T) {
	need.Long(t, "starts processes")
	one, two := servers["zookeeper"](t), servers["zookeeper"](t)
	p := one.provider("gray", "30")
	p.Registries = append(p.Registries, "zookeeper://"+two.url)
	c := start(t, p)
	c.await("SAY ready")
	left := func(s live) (nodes []string) {
		conn, _, err := zk.Connect([]string{s.url}, patience, zk.WithLogger(quiet{}))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, folder := range []string{"/dubbo/" + triService + "/providers", "/dubbo/" + moreService + "/providers", "/dubbo/" + dubboService + "/providers", "/services/shop"} {
			list, _, err := conn.Children(folder)
			if err != nil {
				t.Fatalf("%s of %s: %v", folder, s.url, err)
			}
			nodes = append(nodes, list...)
		}
		return nodes
	}
	for _, s := range []live{one, two} {
		if n := len(left(s)); n != 3*2+2 {
			t.Errorf("%s has %d nodes, want three services over two protocols and two instances", s.url, n)
		}
	}
	// dubbo-go races with itself when a server stops that nobody ever called.
	if _, err := c.dial("tri", p.Tri)("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	c.terminate()
	c.exit(0)
	for _, s := range []live{one, two} {
		if list := left(s); len(list) != 0 {
			t.Errorf("%s still has %v", s.url, list)
		}
	}
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}
