// SPDX-License-Identifier: Apache-2.0

// Package fleet builds, starts, watches and ends the processes of the shop.
//
// Every process gets a folder of its own, ports of 127.0.0.1 that it keeps over
// restarts, and its committed dubbogo.yml with a few places changed. [Fleet.Close]
// ends them all by process id; on Linux they end with the demo in any case.
package fleet

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
)

// How long a process may take to become ready and to leave.
const (
	readyLimit = 30 * time.Second
	stopLimit  = 40 * time.Second // above the default of shutdown.timeout, 25 s
)

// Slot is a place in the fleet that one process at a time fills.
type Slot struct {
	App    string        // user, cart, order or gateway
	Name   string        // user-1, order-gray
	Tag    string        // "" on the baseline
	Window time.Duration // of the warm-up

	port, probe, metadata, http int
	starts                      int // how many incarnations there were
}

// Address is where the slot's Dubbo service listens.
func (s *Slot) Address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Instance is one incarnation of a slot.
type Instance struct {
	*child.Process
	Slot     *Slot
	Name     string    // unique in the run: order-1.2 is the second process of order-1
	Label    string    // what the process calls itself: order-1, later order-1-v2
	Started  time.Time // just before the process was started
	Ready    time.Time // when it first said so
	Database string    // of an order process: its table of executions
}

// Config is what all instances of a fleet share. All fields are needed.
type Config struct {
	Root     string // source of the module: committed configurations
	Bin      string // folder of the built programs
	Dir      string // folder for the processes' folders
	Registry Registry
	Ports    *Ports
	Plain    bool                                            // plain dubbo-go: readiness from its own probe server
	Timeout  time.Duration                                   // of a request
	Env      []string                                        // added to every process
	Line     func(from *Instance, line string, at time.Time) // each line of output; called concurrently
	Guard    func(func())                                    // runs each goroutine
}

// Fleet is a set of running processes. Safe for concurrent use.
type Fleet struct {
	cfg Config

	mu     sync.Mutex
	closed bool
	all    []*Instance
}

// New returns an empty fleet.
func New(cfg Config) *Fleet { return &Fleet{cfg: cfg} }

// NewSlot reserves the ports of a slot.
func (f *Fleet) NewSlot(app, name, tag string, window time.Duration) (*Slot, error) {
	s := &Slot{App: app, Name: name, Tag: tag, Window: window}
	for _, p := range []*int{&s.port, &s.probe, &s.metadata, &s.http} {
		var err error
		if *p, err = f.cfg.Ports.Next(); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Start starts the slot's next incarnation and returns when it is ready.
func (f *Fleet) Start(ctx context.Context, s *Slot, label string) (*Instance, error) {
	i, err := f.launch(s, label)
	if err != nil {
		return nil, err
	}
	if err := f.ready(ctx, i); err != nil {
		return nil, err
	}
	return i, nil
}

// StartAll starts several slots at once under their own names.
func (f *Fleet) StartAll(ctx context.Context, slots []*Slot) ([]*Instance, error) {
	out := make([]*Instance, len(slots))
	err := f.Each(len(slots), func(n int) (err error) {
		out[n], err = f.Start(ctx, slots[n], slots[n].Name)
		return err
	})
	return out, err
}

// Each runs do(0) to do(n-1) at the same time and returns the first error.
func (f *Fleet) Each(n int, do func(int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go f.cfg.Guard(func() {
			defer wg.Done()
			errs[i] = do(i)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) launch(s *Slot, label string) (*Instance, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil, fmt.Errorf("fleet: %s: the fleet is closed", s.Name)
	}
	s.starts++
	i := &Instance{Slot: s, Name: fmt.Sprintf("%s.%d", s.Name, s.starts), Label: label}
	dir := filepath.Join(f.cfg.Dir, i.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", i.Name, err)
	}
	settings := Settings{
		Registry: f.cfg.Registry, Tag: s.Tag, Port: s.port, ProbePort: s.probe, MetadataPort: s.metadata,
		Window: s.Window, Timeout: f.cfg.Timeout, Private: dir,
	}
	if s.App == "gateway" || !f.cfg.Plain {
		settings.ProbePort = 0 // the gateway has a health page of its own, the others SHOP_READY
	}
	conf, err := Render(filepath.Join(f.cfg.Root, "samples", s.App, "conf", "dubbogo.yml"), settings)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "dubbogo.yml")
	if err := os.WriteFile(file, conf, 0o600); err != nil {
		return nil, fmt.Errorf("fleet: %s: %w", i.Name, err)
	}
	args, env := command(i, f.cfg, dir, file)
	if s.App != "gateway" && !f.cfg.Plain {
		env = append(env, fmt.Sprintf("SHOP_READY=127.0.0.1:%d", s.probe))
	}
	// Ten processes share the machine: heaps are small, so fewer collections cost little memory.
	env = append(env, "GOGC=400")
	i.Started = time.Now()
	i.Process, err = child.Start(dir, append([]string{filepath.Join(f.cfg.Bin, s.App)}, args...), append(env, f.cfg.Env...),
		func(line string) { f.cfg.Line(i, line, time.Now()) })
	if err != nil {
		return nil, err
	}
	f.all = append(f.all, i)
	return i, nil
}

// ready polls the instance until it says that it is ready: registered, if it has
// a service. This waits for a process, not for the effect of a call.
func (f *Fleet) ready(parent context.Context, i *Instance) error {
	ctx, cancel := context.WithTimeout(parent, readyLimit)
	defer cancel()
	client := &http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	for wait := 10 * time.Millisecond; ; wait = min(wait*3/2, 50*time.Millisecond) {
		if says200(ctx, client, i.Slot.readyURL()) {
			i.Ready = time.Now()
			return nil
		}
		select {
		case <-time.After(wait):
		case <-i.Done():
			return fmt.Errorf("fleet: %s ended while it started: %s", i.Name, i.Tail())
		case <-parent.Done():
			return context.Cause(parent)
		case <-ctx.Done():
			return fmt.Errorf("fleet: %s is not ready within %v: %s", i.Name, readyLimit, i.Tail())
		}
	}
}

func says200(ctx context.Context, client *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only the status is of interest
	return resp.StatusCode == http.StatusOK
}

// Stop sends SIGTERM, waits until the process has gone and returns the time just
// before the signal.
func (f *Fleet) Stop(ctx context.Context, i *Instance) (time.Time, error) {
	at, err := i.Signal(syscall.SIGTERM)
	if err != nil {
		return at, fmt.Errorf("%s: %w", i.Name, err)
	}
	if err := i.Wait(ctx, stopLimit); err != nil {
		return at, fmt.Errorf("%s after SIGTERM: %w: %s", i.Name, err, i.Tail())
	}
	return at, nil
}

// All returns every incarnation there was, in the order of starting.
func (f *Fleet) All() []*Instance {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.all)
}

// Close kills what still runs and lets nothing start any more.
func (f *Fleet) Close() error {
	f.mu.Lock()
	f.closed = true
	all := slices.Clone(f.all)
	f.mu.Unlock()
	var first error
	for _, i := range all {
		if err := i.Kill(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// Tail returns the last line that the process wrote, for an error message.
func (i *Instance) Tail() string {
	b, err := os.ReadFile(filepath.Join(i.Dir, child.LogName))
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	last := strings.TrimSpace(lines[len(lines)-1])
	if err != nil || last == "" {
		return "it wrote nothing"
	}
	return "its last line: " + last
}
