// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/internal/testkit/news"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// cell is one column of the matrix.
type cell struct{ protocol, level, registry string }

func (c cell) String() string { return c.protocol + "/" + c.level + "/" + c.registry }

// fleet is the processes of a cell and all that they said.
type fleet struct {
	t        *testing.T
	cell     cell
	registry registryServer
	dir      string
	plain    bool
	require  bool          // register.require
	window   time.Duration // of the warm-up of processes that start from now on
	rounds   int           // of an event that can be repeated
	timer    *timer        // of a soak, which goes on where an event would be done again; else nil
	pace

	mu         news.Lock
	calls      []call
	executions []execution // without a key: what ran twice stands there twice
	ledgers    []ledger
	slots      []*slot
	gone       []*process // that left in order, and whose books are compared
	consumers  []*process
	parted     []string       // consumers that left in order, as drain reports name them; they print their ledgers, too
	steady     []*process     // see pace
	started    map[string]int // how many of a name there have been
}

// slot is a provider's place: one process at a time.
type slot struct {
	name           string // p1; that of its first place in the fleet
	port, metadata int
	now            *process
}

// process is one child.
type process struct {
	*child.Process
	spec   spec
	ready  bool
	born   time.Time // of a provider: StartTime, as it is registered
	id     string    // of a consumer: its name in drain reports
	idle   bool
	lost   bool
	last   time.Time // start of the latest call that it ended
	oldest time.Time // every call that it started before this has ended
	report *drainReport

	samples []sample // that it was asked for
}

// Settings that the cells share.
const (
	providers = 3
	consumers = 2
	window    = 5 * time.Second
	patience  = 60 * time.Second
)

// pace is the load of a run. Only one that has the machine for itself is judged by
// the clock.
type pace struct {
	rate    int // calls a second, of all consumers
	timeout time.Duration
	timed   bool
	callers int // consumers
	steady  int // providers of a second service, which all consumers call now and then and to which nothing happens
}

var (
	measured = pace{rate: 400, timeout: time.Second, timed: true, callers: consumers}
	counted  = pace{rate: 60, timeout: 15 * time.Second, callers: consumers} // beside the tests of other packages
)

// newFleet makes a fleet without processes.
func newFleet(t *testing.T, c cell, registry registryServer, pace pace, plain bool) *fleet {
	t.Helper()
	return &fleet{t: t, cell: c, registry: registry, dir: logs(t), plain: plain, require: true, window: window, rounds: 1, pace: pace, started: map[string]int{}}
}

// begin starts the providers, then the consumers, and waits until all are in use.
func (f *fleet) begin() {
	f.t.Helper()
	f.t.Cleanup(f.kill)
	for n := range f.pace.steady {
		f.steady = append(f.steady, f.launchSteady(n))
	}
	for range providers {
		f.slots = append(f.slots, &slot{port: ports.Free(), metadata: ports.Free()})
	}
	for n := range f.slots {
		f.start(n)
	}
	for n := range f.callers {
		f.join(fmt.Sprintf("c%d", n+1), "")
	}
	for n := range f.slots {
		f.awaitUse(f.slots[n].now)
	}
}

// logs returns the folder of the children's logs, which are kept under -logs.
func logs(t *testing.T) string {
	t.Helper()
	if *logDir == "" {
		return t.TempDir()
	}
	dir := filepath.Join(*logDir, t.Name())
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (f *fleet) spec(role, name string) spec {
	id := strings.NewReplacer("/", "").Replace(f.cell.String())
	return spec{
		Role: role, Name: name, Protocol: f.cell.protocol, Level: f.cell.level, Registry: f.cell.registry, Address: f.registry.Address(),
		Cell: strings.ToUpper(id[:1]) + id[1:] + strconv.Itoa(os.Getpid()), Timeout: f.timeout, Window: f.window, Require: f.require,
	}
}

// join adds a consumer, with the load of one again. mode is that of Graylane, "" for
// the mode of the run.
func (f *fleet) join(name, mode string) *process {
	f.t.Helper()
	if f.started[name]++; f.started[name] > 1 { // names are in the ids of calls
		name += strconv.Itoa(f.started[name])
	}
	s := f.spec("consumer", name)
	s.Rate, s.Port, s.Metadata, s.Mode = f.rate/f.callers, ports.Free(), ports.Free(), mode
	if len(f.steady) > 0 {
		s.Beside, s.Leak = f.steady[0].spec.Cell, *leaky
	}
	c := f.launch(s)
	f.mu.Lock()
	f.consumers = append(f.consumers, c)
	f.mu.Unlock()
	return c
}

// part ends the load of a consumer, then the consumer.
func (f *fleet) part(c *process) {
	f.t.Helper()
	f.idle(c)
	f.mu.Lock()
	f.consumers = slices.DeleteFunc(slices.Clone(f.consumers), func(o *process) bool { return o == c })
	f.mu.Unlock()
	if c.spec.Mode != modeOff {
		f.parted = append(f.parted, c.id)
		f.leave(c)
	} else if err := c.Kill(); err != nil { // plain dubbo-go takes its time
		f.t.Error(err)
	}
}

// idle ends the load of consumers.
func (f *fleet) idle(list ...*process) {
	f.t.Helper()
	for _, c := range list {
		f.signal(c, signalIdle)
	}
	f.await("the load over", func() bool {
		return !slices.ContainsFunc(list, func(c *process) bool { return !c.idle })
	})
}

// start starts the next process of a slot and waits until it is ready.
func (f *fleet) start(n int) *process {
	f.t.Helper()
	p := f.next(n)
	f.awaitReady(p)
	return p
}

// next starts the next process of a slot.
func (f *fleet) next(n int) *process {
	f.t.Helper()
	s := f.slots[n]
	if s.name == "" {
		s.name = fmt.Sprintf("p%d", n+1)
	}
	f.started[s.name]++
	sp := f.spec("provider", fmt.Sprintf("%s.%d", s.name, f.started[s.name]))
	sp.Port, sp.Metadata = s.port, s.metadata
	s.now = f.launch(sp)
	return s.now
}

func (f *fleet) awaitReady(p *process) {
	f.t.Helper()
	if f.plain { // plain dubbo-go has no readiness that is true only when registered
		f.awaitPort(p.spec.Port)
		time.Sleep(plainSettle)
		return
	}
	f.await(p.spec.Name+" ready", func() bool { return p.ready })
}

// plainSettle is what a rollout without Graylane gives a new instance
// (minReadySeconds).
const plainSettle = 1500 * time.Millisecond

// awaitUse waits until every consumer has been answered by p: a rollout goes on
// when the new instance serves. Plain dubbo-go may take 30 s to see it, if ever.
func (f *fleet) awaitUse(p *process) {
	f.t.Helper()
	f.awaitUseAfter(p, time.Time{})
}

// awaitUseAfter waits until p has answered every consumer a call that started after at.
func (f *fleet) awaitUseAfter(p *process, at time.Time) {
	f.t.Helper()
	if f.plain {
		return
	}
	f.await(p.spec.Name+" in use by all consumers", func() bool {
		by := map[string]bool{}
		for _, c := range f.calls {
			if c.By == p.spec.Name && c.Start.After(at) {
				by[consumerOf(c.ID)] = true
			}
		}
		return len(by) == len(f.consumers)
	})
}

func consumerOf(id string) string {
	name, _, _ := strings.Cut(id, "-")
	return name
}

func (f *fleet) launch(s spec) *process {
	f.t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		f.t.Fatal(err)
	}
	dir := filepath.Join(f.dir, s.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.t.Fatal(err)
	}
	mode := "enforce"
	if f.plain {
		mode = modeOff
	}
	if s.Mode != "" {
		mode = s.Mode
	}
	env := []string{
		specEnv + "=" + string(b), "GRAYLANE_MODE=" + mode, "GOGC=400",
		"GODEBUG=multipathtcp=0", // packets are dropped for plain TCP sockets only
	}
	p := &process{spec: s}
	f.mu.Lock()
	defer f.mu.Unlock()
	p.Process, err = child.Start(dir, []string{os.Args[0]}, env, func(line string) { f.heard(p, line) })
	if err != nil {
		f.t.Fatal(err)
	}
	return p
}

// heard takes in one line of a child.
func (f *fleet) heard(p *process, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case strings.HasPrefix(line, sayExec):
		e, err := parseExecution(p.spec.Name, strings.TrimPrefix(line, sayExec))
		if err != nil {
			f.t.Errorf("%s: %q: %v", p.spec.Name, line, err)
		}
		f.executions = append(f.executions, e)
	case strings.HasPrefix(line, sayCall):
		var c call
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, sayCall)), &c); err != nil {
			f.t.Errorf("%s: %q: %v", p.spec.Name, line, err)
		}
		f.calls = append(f.calls, c)
		if c.Start.After(p.last) {
			p.last = c.Start
		}
		if c.Oldest.After(p.oldest) {
			p.oldest = c.Oldest
		}
	case strings.HasPrefix(line, saySample):
		var s sample
		if err := json.Unmarshal([]byte(strings.TrimPrefix(line, saySample)), &s); err != nil {
			f.t.Errorf("%s: %q: %v", p.spec.Name, line, err)
		}
		p.samples = append(p.samples, s)
	case line == sayReady:
		p.ready = true
	case strings.HasPrefix(line, sayID):
		p.id = strings.TrimPrefix(line, sayID)
	case strings.HasPrefix(line, sayBorn):
		ns, err := strconv.ParseInt(strings.TrimPrefix(line, sayBorn), 10, 64)
		if err != nil {
			f.t.Errorf("%s: %q: %v", p.spec.Name, line, err)
		}
		p.born = time.Unix(0, ns)
	case line == sayIdle:
		p.idle = true
	case line == sayLost:
		p.lost = true
	default:
		f.book(p, line)
		return
	}
	f.mu.News()
}

// await waits until cond holds; it is asked after each line, with the lock held.
func (f *fleet) await(what string, cond func() bool) {
	f.t.Helper()
	if !f.mu.Await(patience, cond) {
		f.t.Fatalf("%s: not %s within %v", f.cell, what, patience)
	}
}

// awaitPort waits until somebody listens on a port.
func (f *fleet) awaitPort(n int) {
	f.t.Helper()
	if err := ports.Await(fmt.Sprintf("127.0.0.1:%d", n), patience); err != nil {
		f.t.Fatalf("%s: %v", f.cell, err)
	}
}

// settle waits until every call that started by now has ended, and returns now.
func (f *fleet) settle() time.Time {
	f.t.Helper()
	now := time.Now()
	f.await("every call ended", func() bool {
		for _, c := range f.consumers {
			if !c.oldest.After(now) {
				return false
			}
		}
		return true
	})
	return now
}

// load lets the consumers go on for a while: what an event is compared with.
func (f *fleet) load(d time.Duration) (from, to time.Time) {
	f.t.Helper()
	return f.loadOf(f.consumers, d)
}

// loadOf lets the load go on for a while, as told by the calls of some consumers.
func (f *fleet) loadOf(consumers []*process, d time.Duration) (from, to time.Time) {
	f.t.Helper()
	from = time.Now()
	f.await("load", func() bool {
		for _, c := range consumers {
			if c.last.Before(from.Add(d)) {
				return false
			}
		}
		return true
	})
	return from, from.Add(d)
}

// signal returns when it was sent.
func (f *fleet) signal(p *process, sig syscall.Signal) time.Time {
	f.t.Helper()
	at, err := p.Signal(sig)
	if err != nil {
		f.t.Fatal(err)
	}
	return at
}

// leave sends SIGTERM and waits for the end of the process.
func (f *fleet) leave(p *process) (at time.Time) {
	f.t.Helper()
	at = f.signal(p, syscall.SIGTERM)
	if err := p.Wait(context.Background(), patience); err != nil && !f.plain {
		f.t.Errorf("%s: %s after SIGTERM: %v", f.cell, p.spec.Name, err)
	}
	return at
}

// finish ends the load, then all processes; consumers print their ledgers.
func (f *fleet) finish() {
	f.t.Helper()
	f.idle(f.consumers...)
	for _, c := range f.consumers {
		f.leave(c)
	}
	f.kill()
}

func (f *fleet) kill() {
	for _, p := range f.consumers {
		_ = p.Kill()
	}
	for _, s := range f.slots {
		if s.now != nil {
			_ = s.now.Kill()
		}
	}
}
