// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// process is the one manager of this process.
var process = newManager(shutdown.Process(), conf.Current) //nolint:gochecknoglobals // dubbo-go calls us through package functions

// manager holds what this process has registered and where.
type manager struct {
	// The following fields are immutable.
	gate     *shutdown.Gate
	settings func() *conf.Config
	exported chan struct{} // closed when a server has exported all its services
	asked    chan struct{} // closed by Register
	due      chan struct{} // closed when registrations may begin
	stop     chan struct{} // closed when the instance is leaving
	stopped  chan struct{} // closed when the drain is over
	over     chan struct{} // closed when the callbacks have run that dubbo-go would hang in

	dubbo *global.ShutdownConfig // what dubbo-go's own shutdown steps run with

	installOnce, exportedOnce, askedOnce, dueOnce, drainOnce, initOnce, signalsOnce, mappedOnce, finishOnce sync.Once

	told      atomic.Bool // MarkReady
	referred  atomic.Bool // all references could serve calls at one time
	direct    atomic.Bool // registrations wait for nothing but the export of all services
	later     atomic.Bool // they wait for something else: exports do not wait for them
	shutdowns atomic.Bool // the program called Shutdown
	signalled atomic.Pointer[os.Signal]

	mu        sync.Mutex
	regs      []*registrar
	app       string
	addresses []string
	checked   map[string]bool // locations whose port was tried
	birth     birth
	fixed     bool // a registration has succeeded: birth stays
	decorated bool // a service is about to be exported, or has been
	exports   int
	exporting bool // a server has not exported all its services yet
	outcome   outcome
	hooks     []func()
	settled   bool // checks and before are complete
	checks    []check
	before    []func(context.Context) error
	exporters map[base.Exporter]int                          // for how many registries
	ending    map[base.Exporter]*time.Timer                  // those for none, until their callers have heard of it
	instances map[string]map[string]registry.ServiceInstance // by registry id and address
}

func newManager(gate *shutdown.Gate, settings func() *conf.Config) *manager {
	return &manager{
		gate:     gate,
		settings: settings,
		exported: make(chan struct{}),
		asked:    make(chan struct{}),
		due:      make(chan struct{}),
		stop:     make(chan struct{}),
		stopped:  make(chan struct{}),
		over:     make(chan struct{}),
		dubbo:    waitForNothing(),
		checked:  map[string]bool{},

		exporters: map[base.Exporter]int{},
		ending:    map[base.Exporter]*time.Timer{},
		instances: map[string]map[string]registry.ServiceInstance{},
	}
}

// Registries returns the provider side's registries, for dubbo-go's application
// level registration (registry.RegistryFactory).
//
// dubbo-go asks for them when a server has exported all its services: that, too,
// must have happened before the process is [Ready]. Nothing is registered before that.
// dubbo-go would name a service at interface level before the server serves health, and
// callers that are quicker would get no health watch: they ask for it once.
func Registries() []registry.Registry { return process.registries() }

func (m *manager) registries() []registry.Registry {
	m.exportedOnce.Do(func() { close(m.exported) })
	if m.direct.Load() && !closed(m.due) {
		m.openDoor()
		m.awaitRequired()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exporting = false
	out := make([]registry.Registry, 0, len(m.regs))
	for _, r := range m.regs {
		out = append(out, r.asRegistry())
	}
	return out
}

// awaitRequired returns when what a server has exported is registered, where it must be, or
// the process ends.
func (m *manager) awaitRequired() {
	c := m.settings().Register
	if !c.Require {
		return
	}
	for _, r := range m.snapshot() {
		r.mu.Lock()
		queue := slices.Clone(r.queue)
		r.mu.Unlock()
		for _, t := range queue {
			_ = r.require(t, c.Timeout) // it ends the process itself
		}
	}
}

// registrarFor returns the registrar of a registry URL as dubbo-go made it. Two
// URLs are one registry when name, address, namespace, group and id agree.
func (m *manager) registrarFor(u *common.URL) *registrar {
	kind, name := u.Protocol, u.GetParam(constant.RegistryKey, u.Protocol)
	if kind == constant.RegistryProtocol {
		kind = name
	}
	key := kind + " " + name + "://" + u.Location + "?" + u.GetParam(constant.RegistryNamespaceKey, "") +
		"&" + u.GetParam(constant.RegistryGroupKey, "") + "&" + u.GetParam(constant.RegistryIdKey, "")
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := slices.IndexFunc(m.regs, func(r *registrar) bool { return r.key == key }); i >= 0 {
		return m.regs[i]
	}
	inner := u.Clone()
	inner.Protocol, inner.SubURL = kind, nil
	r := newRegistrar(m, key, name+"://"+u.Location, inner)
	m.regs = append(m.regs, r)
	return r
}

// known returns the registrar of a URL that is ours already, else nil.
func (m *manager) known(u *common.URL) *registrar {
	if u.Protocol != RegistryName {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.regs {
		if r.key == u.PrimitiveURL {
			return r
		}
	}
	return nil
}

// lookup is what dubbo-go gets when it asks for [RegistryName].
func (m *manager) lookup(u *common.URL) (registry.Registry, error) {
	if r := m.known(u); r != nil {
		return r.asRegistry(), nil
	}
	return nil, errors.New("lifecycle: registry " + RegistryName + " is internal and cannot be configured")
}

// openDoor lets registrations begin now.
func (m *manager) openDoor() { m.dueOnce.Do(func() { close(m.due) }) }

// oneBirth is how long a birth holds for registrations that nobody knows of yet: those at
// several registries are tried at the same time, and must say the same.
const oneBirth = time.Second

// begin returns the birth to publish with a registration that is about to be
// tried. Until one has succeeded the instance has served nobody: it is born anew.
func (m *manager) begin() birth {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.fixed && time.Since(m.birth.start) > oneBirth {
		m.birth = birth{start: time.Now(), window: m.settings().Warmup.Window}
	}
	return m.birth
}

func (m *manager) currentBirth() birth {
	m.mu.Lock()
	b := m.birth
	m.mu.Unlock()
	if b.start.IsZero() {
		return m.begin()
	}
	return b
}

// born fixes the birth: somebody may know us from now on.
func (m *manager) born() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fixed {
		return
	}
	m.fixed = true
	m.gate.Warm(m.birth.start, m.birth.window)
}

func (m *manager) snapshot() []*registrar {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.regs)
}
