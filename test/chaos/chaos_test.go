// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	_ "github.com/graylane/graylane/imports"
	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/test/rig/nacos"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

var (
	matrix  = flag.Bool("matrix", false, "all twelve cells instead of two")
	which   = flag.String("events", "ci", "ci, all, or names separated by commas")
	plain   = flag.Bool("plain", false, "plain dubbo-go (GRAYLANE_MODE=off): rows are not judged")
	outFile = flag.String("report", "", "file that the table is written to")
	logDir  = flag.String("logs", "", "folder in which the children's logs are kept")
	only    = flag.String("cells", "", "cells separated by commas, as tri/application/etcd; default all")
)

func TestMain(m *testing.M) {
	etcd.Child()
	if text := os.Getenv(specEnv); text != "" {
		var s spec
		fail(json.Unmarshal([]byte(text), &s))
		s.run()
		return
	}
	flag.Parse()
	code := m.Run()
	closeRegistries()
	os.Exit(code)
}

// cells of a run: two that differ in everything, or all, or those that are named.
func cells() []cell {
	if *only == "" && !*matrix {
		return []cell{{"tri", "application", "etcd"}, {"dubbo", "interface", "zookeeper"}}
	}
	return namedCells()
}

// namedCells are those of -cells, by default all.
func namedCells() []cell {
	var out []cell
	for _, registry := range []string{"etcd", "zookeeper", "nacos"} {
		for _, level := range []string{"application", "interface"} {
			for _, protocol := range []string{"tri", "dubbo"} {
				c := cell{protocol, level, registry}
				if *only == "" || slices.Contains(strings.Split(*only, ","), c.String()) {
					out = append(out, c)
				}
			}
		}
	}
	return out
}

func chosen(e event) bool {
	switch *which {
	case "all":
		return true
	case "ci":
		return e.ci
	}
	return slices.Contains(strings.Split(*which, ","), e.name)
}

// known ends the test if -events or -cells name something that is not there.
func known(t *testing.T) {
	t.Helper()
	names := []string{"all", "ci"}
	for _, e := range events() {
		names = append(names, e.name)
	}
	for name := range strings.SplitSeq(*which, ",") {
		if !slices.Contains(names, name) {
			t.Fatalf("-events %q: there are %q", name, names)
		}
	}
	if *only != "" && len(namedCells()) != len(strings.Split(*only, ",")) {
		t.Fatalf("-cells %q: not all of these are cells", *only)
	}
}

func TestChaos(t *testing.T) {
	need.Long(t, "starts processes and servers")
	known(t)
	var rows []*row
	for _, c := range cells() {
		t.Run(c.String(), func(t *testing.T) {
			began := time.Now()
			var shared []event
			for _, e := range events() {
				switch {
				case !chosen(e):
				case e.own:
					t.Run(e.name, func(t *testing.T) {
						r := startRegistry(t, c.registry, t.TempDir())
						t.Cleanup(func() { _ = r.Close() })
						rows = append(rows, perform(t, c, r, e)...)
					})
				default:
					shared = append(shared, e)
				}
			}
			if len(shared) > 0 {
				rows = append(rows, perform(t, c, registryFor(t, c.registry), shared...)...)
			}
			t.Logf("%.0f s", time.Since(began).Seconds())
		})
	}
	text := table(rows)
	t.Log("\n" + text)
	if *outFile != "" {
		if err := os.WriteFile(*outFile, []byte(text), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// perform lets events happen to a fleet, one after the other. What the machine's standing
// still can explain is done again: it says nothing about who was on it.
func perform(t *testing.T, c cell, registry registryServer, list ...event) []*row {
	t.Helper()
	const tries = 3
	for try := 1; ; try++ {
		rows, pace, late := attempt(t, c, registry, list, try)
		faults, slow := 0, 0
		for _, r := range rows {
			t.Log(r)
			faults, slow = faults+len(r.Faults), slow+len(r.Slow)
		}
		t.Logf("a timer of this process was late by at most %v", late.Round(time.Millisecond))
		again := !*plain && pace.timed && try < tries &&
			(slow > 0 && late > standstill || faults > 0 && late > pace.timeout/2)
		for _, r := range rows {
			for _, fault := range slices.Concat(r.Faults, r.Slow) {
				switch {
				case again:
					t.Logf("%s: done again: %s", r.Event, fault)
				case !*plain:
					t.Errorf("%s: %s", r.Event, fault)
				}
			}
		}
		if !again {
			return rows
		}
	}
}

// judgedByTheClock says whether this run has the machine for itself.
func judgedByTheClock() bool { return *matrix || *only != "" }

// attempt lets events happen once; late is how late timers of this process have been.
func attempt(t *testing.T, c cell, registry registryServer, list []event, try int) (rows []*row, pace pace, late time.Duration) {
	t.Helper()
	pace = counted
	if judgedByTheClock() {
		pace = measured
	}
	f := newFleet(t, c, registry, pace, *plain)
	f.require = !list[0].own
	f.dir = filepath.Join(f.dir, strconv.Itoa(try))
	if *which == "all" {
		f.rounds = 7 // 21 leaves
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	timer := startTimer(ctx)
	f.begin()
	for _, e := range list {
		rows = append(rows, e.do(f))
	}
	f.finish()
	if !*plain {
		pairs, faults := f.balance(f.gone)
		if want := len(f.gone) * len(f.consumers); pairs != want {
			rows[0].fault("%d pairs of ledger and drain report, want %d", pairs, want)
		}
		rows[0].Faults = append(rows[0].Faults, faults...)
	}
	return rows, pace, timer.late()
}

// registryServer is a registry that can be killed, and started again at the same address with
// its data or, after Empty, without.
type registryServer interface {
	Address() string
	Close() error
	Empty() error
	Restart(ctx context.Context) error
}

// registries run from their first use to the end of the tests.
var registries = struct {
	server map[string]registryServer
	close  []func()
}{server: map[string]registryServer{}}

// registryFor returns the registry that the cells of a kind share.
func registryFor(t *testing.T, kind string) registryServer {
	t.Helper()
	if s, ok := registries.server[kind]; ok {
		return s
	}
	dir, err := os.MkdirTemp("", "graylane-chaos-") //nolint:usetesting // outlives the subtest that asks for it first
	if err != nil {
		t.Fatal(err)
	}
	registries.close = append(registries.close, func() { _ = os.RemoveAll(dir) })
	s := startRegistry(t, kind, dir)
	registries.server[kind] = s
	registries.close = append(registries.close, func() { _ = s.Close() })
	return s
}

// startRegistry starts a registry whose data and log are in dir.
func startRegistry(t *testing.T, kind, dir string) registryServer {
	t.Helper()
	var s registryServer
	var err error
	switch kind {
	case "etcd":
		s, err = etcd.StartProcess(t.Context(), dir)
	case "nacos":
		need.Part(t, nacos.Missing())
		s, err = nacos.Start(t.Context(), dir)
	case "zookeeper":
		need.Part(t, zookeeper.Missing())
		s, err = zookeeper.Start(t.Context(), dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeRegistries() {
	for _, end := range slices.Backward(registries.close) {
		end()
	}
}

// table is the matrix in Markdown.
func table(rows []*row) string {
	var b strings.Builder
	b.WriteString("| cell | event | calls | lost | excused | duplicated | p99 | last new call p95 / max | drain max |\n|---|---|---:|---:|---:|---:|---:|---:|---:|\n")
	for _, r := range rows {
		last, drain := "", ""
		if len(r.Last) > 0 {
			last = fmt.Sprintf("%.1f / %.1f ms (%d)", ms(percentile(r.Last, 95)), ms(slices.Max(r.Last)), len(r.Last))
		}
		if len(r.Drain) > 0 {
			drain = fmt.Sprintf("%.2f s", slices.Max(r.Drain).Seconds())
		}
		fmt.Fprintf(&b, "| %s | %s | %d | %d | %d | %d | %.1f ms | %s | %s |\n", r.Cell, r.Event, r.Calls, r.lost(), r.Allowed, r.Duplicated, ms(r.P99), last, drain)
	}
	return b.String()
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *row) String() string {
	return strings.TrimSpace(table([]*row{r})[strings.LastIndex(table([]*row{r}), "\n|")+1:])
}
