// SPDX-License-Identifier: Apache-2.0

package interop

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
	"github.com/graylane/graylane/test/rig/java"
)

// patience bounds every wait for what other processes do.
const patience = 60 * time.Second

// fleet is the peers of one protocol and all that they said.
type fleet struct {
	t        *testing.T
	protocol string
	registry string
	dir      string

	mu         news.Lock
	calls      map[string][]call
	done       map[string]bool
	executions map[string][]execution // by batch
	peers      []*peer
	batches    int
}

// peer is one process.
type peer struct {
	*child.Process
	spec     spec
	launched time.Time
	readyAt  time.Time // zero: not yet
	weights  []weight
	weighed  int
	stats    []stats
	report   *report
}

// stats is what cluster/lossless counted in a Go consumer since its start.
type stats struct{ rerouted, unknown, noEndpoint, exhausted int64 }

// call is what a consumer says of one.
type call struct {
	id         string
	start, end time.Time
	by         string // "" if it failed
	err        string
}

// execution is what a provider says of one.
type execution struct {
	id, by string
	at     time.Time
}

// weight is what Dubbo Java's balancers compute for a provider.
type weight struct {
	address                          string
	weight                           int
	before, after, timestamp, warmup int64 // Unix ms, and ms
}

// report is what of a provider's drain report these tests need.
type report struct {
	Aborted uint64 `json:"aborted"`
	Callers []struct {
		ID       string `json:"id"`
		Accepted uint64 `json:"accepted"`
		Refused  uint64 `json:"refused"`
		Reroutes bool   `json:"reroutes"`
	} `json:"callers"`
}

func newFleet(t *testing.T, protocol, registry string) *fleet {
	t.Helper()
	f := &fleet{
		t: t, protocol: protocol, registry: registry, dir: t.TempDir(),
		calls: map[string][]call{}, done: map[string]bool{}, executions: map[string][]execution{},
	}
	t.Cleanup(func() {
		for _, p := range f.peers {
			if t.Failed() {
				if out, err := os.ReadFile(filepath.Join(p.Dir, child.LogName)); err == nil {
					t.Logf("%s:\n%s", p.spec.Name, tail(string(out), 12))
				}
			}
			if err := p.Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	return f
}

// tail returns the last lines of a log that are not about single calls.
func tail(text string, n int) string {
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(text), "\n"), func(l string) bool {
		return strings.HasPrefix(l, "PEER CALL") || strings.HasPrefix(l, "PEER EXEC")
	})
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// start starts a peer and does not wait for it.
func (f *fleet) start(s spec) *peer {
	f.t.Helper()
	s.Protocol, s.Registry, s.Port, s.Metadata = f.protocol, f.registry, ports.Free(), ports.Free()
	dir := filepath.Join(f.dir, s.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		f.t.Fatal(err)
	}
	argv, env := []string{os.Args[0]}, []string(nil)
	if s.Java {
		argv = f.javaCommand(s)
	} else {
		text, err := json.Marshal(s)
		if err != nil {
			f.t.Fatal(err)
		}
		env = []string{specEnv + "=" + string(text), "GRAYLANE_MODE=enforce"}
	}
	p := &peer{spec: s, launched: time.Now()}
	var err error
	f.mu.Lock()
	defer f.mu.Unlock()
	if p.Process, err = child.Start(dir, argv, env, func(line string) { f.heard(p, line) }); err != nil {
		f.t.Fatal(err)
	}
	f.peers = append(f.peers, p)
	return p
}

func (f *fleet) javaCommand(s spec) []string {
	f.t.Helper()
	program, settings := java.Provider, map[string]string{
		"registry": "zookeeper://" + s.Registry, "protocol": s.Protocol, "name": s.Name, "app": "order-java", "port": strconv.Itoa(s.Port),
		"warmup": strconv.FormatInt(s.Window.Milliseconds(), 10),
	}
	if s.Consumer {
		program, settings["app"], settings["timeout"] = java.Consumer, "gateway-java", strconv.FormatInt(timeout.Milliseconds(), 10)
	}
	if s.Tag != "" {
		settings["tag"] = s.Tag
	}
	if s.Weight > 0 {
		settings["weight"] = strconv.Itoa(s.Weight)
	}
	argv, err := java.Command(f.t.Context(), program, settings)
	if err != nil {
		f.t.Fatal(err)
	}
	return argv
}

// ready waits until peers are.
func (f *fleet) ready(peers ...*peer) {
	f.t.Helper()
	for _, p := range peers {
		f.await(p.spec.Name+" ready", func() bool { return !p.readyAt.IsZero() })
	}
}

// heard takes in one line of a peer.
func (f *fleet) heard(p *peer, line string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, text, ok := strings.Cut(line, "graylane drain report "); ok {
		p.report = new(report)
		if err := json.Unmarshal([]byte(text[:strings.LastIndexByte(text, '}')+1]), p.report); err != nil {
			f.t.Errorf("%s: drain report: %v", p.spec.Name, err)
		}
	}
	text, ok := strings.CutPrefix(line, "PEER ")
	if !ok {
		return
	}
	if err := f.take(p, strings.SplitN(text, " ", 7)); err != nil {
		f.t.Errorf("%s: %q: %v", p.spec.Name, line, err)
	}
	f.mu.News()
}

// await waits until cond holds; it is asked after each line, with the lock held.
func (f *fleet) await(what string, cond func() bool) {
	f.t.Helper()
	if !f.mu.Await(patience, cond) {
		f.t.Fatalf("%s: not %s within %v", f.protocol, what, patience)
	}
}

// batchOf is the batch of a call.
func batchOf(id string) string {
	name, _, _ := strings.Cut(id, "-")
	return name
}

// take reads the words of a line. f.mu is held.
func (f *fleet) take(p *peer, word []string) (err error) {
	number := func(n int) (i int64) {
		if n >= len(word) {
			err = fmt.Errorf("%d words", len(word))
		} else if word[n] != "-" && err == nil {
			i, err = strconv.ParseInt(word[n], 10, 64)
		}
		return i
	}
	switch word[0] {
	case "READY":
		p.readyAt = time.Now()
	case "EXEC":
		of := batchOf(word[1])
		f.executions[of] = append(f.executions[of], execution{word[1], p.spec.Name, time.UnixMicro(number(2))})
	case "CALL":
		c := call{id: word[1], start: time.UnixMicro(number(2)), end: time.UnixMicro(number(3)), by: strings.TrimPrefix(word[4], "-")}
		c.err = strings.Join(word[5:], " ")
		f.calls[batchOf(c.id)] = append(f.calls[batchOf(c.id)], c)
	case "DONE":
		f.done[word[1]] = true
	case "WEIGHT":
		p.weights = append(p.weights, weight{word[1], int(number(2)), number(3), number(4), number(5), number(6)})
	case "WEIGHED":
		p.weighed++
	case "STATS":
		p.stats = append(p.stats, stats{number(1), number(2), number(3), number(4)})
	default:
		err = fmt.Errorf("unknown word %s", word[0])
	}
	return err
}

// batch is calls of one consumer.
type batch struct {
	f    *fleet
	from *peer
	name string
	work time.Duration
}

// load starts a batch: at most limit calls with a tag ("" is none), rate a second or
// from 8 callers one after the other if it is 0.
func (f *fleet) load(from *peer, tag string, rate int, work time.Duration, limit int) *batch {
	f.t.Helper()
	f.mu.Lock()
	f.batches++
	b := &batch{f, from, fmt.Sprintf("%s.%d", from.spec.Name, f.batches), work}
	f.mu.Unlock()
	if tag == "" {
		tag = "-"
	}
	if err := from.Tell(fmt.Sprintf("load %s %s %d %d %d", b.name, tag, rate, work.Milliseconds(), limit)); err != nil {
		f.t.Fatal(err)
	}
	return b
}

// wait waits until every call of the batch has ended and returns them.
func (b *batch) wait() []call {
	b.f.t.Helper()
	b.f.await(b.name+" done", func() bool { return b.f.done[b.name] })
	b.f.mu.Lock()
	defer b.f.mu.Unlock()
	return b.f.calls[b.name]
}

// stop ends the batch and waits for the calls in flight.
func (b *batch) stop() []call {
	b.f.t.Helper()
	if err := b.from.Tell("stop " + b.name); err != nil {
		b.f.t.Fatal(err)
	}
	return b.wait()
}

// knows calls until each of the providers has answered: the consumer has them all.
func (f *fleet) knows(from *peer, tag string, providers ...*peer) {
	f.t.Helper()
	seen, last := map[string]bool{}, call{}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		for _, c := range f.load(from, tag, 0, 0, 40).wait() {
			seen[c.by] = true
			if c.err != "" {
				last = c
			}
		}
		if !slices.ContainsFunc(providers, func(p *peer) bool { return !seen[p.spec.Name] }) {
			return
		}
	}
	f.t.Fatalf("%s: %s with tag %q was answered by %v only within %v; last failure: %v", f.protocol, from.spec.Name, tag, seen, patience, last.err)
}

// read asks a Go consumer for its counts.
func (f *fleet) read(p *peer) stats {
	f.t.Helper()
	f.mu.Lock()
	n := len(p.stats)
	f.mu.Unlock()
	if err := p.Tell("stats"); err != nil {
		f.t.Fatal(err)
	}
	f.await("stats of "+p.spec.Name, func() bool { return len(p.stats) > n })
	f.mu.Lock()
	defer f.mu.Unlock()
	return p.stats[n]
}

// term sends SIGTERM.
func (f *fleet) term(p *peer) time.Time {
	f.t.Helper()
	at, err := p.Signal(syscall.SIGTERM)
	if err != nil {
		f.t.Fatal(err)
	}
	return at
}

// ended waits for the end of a process that was told to go.
func (f *fleet) ended(p *peer) time.Time {
	f.t.Helper()
	err := p.Wait(context.Background(), patience)
	if javaEnd := "exit status 143"; err != nil && (!p.spec.Java || err.Error() != javaEnd) { // 128 + SIGTERM
		f.t.Errorf("%s: %s after SIGTERM: %v", f.protocol, p.spec.Name, err)
	}
	return time.Now()
}

// runs returns all executions by call.
func (f *fleet) runs() map[string][]execution {
	f.mu.Lock()
	defer f.mu.Unlock()
	of := map[string][]execution{}
	for _, batch := range f.executions {
		for _, e := range batch {
			of[e.id] = append(of[e.id], e)
		}
	}
	return of
}
