// SPDX-License-Identifier: Apache-2.0

package modes

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/config"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	_ "dubbo.apache.org/dubbo-go/v3/imports"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/registry"

	_ "github.com/graylane/graylane"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// envChild names what a child process is.
const envChild = "GRAYLANE_MODES_CHILD"

// TestMain is a child's main where the environment says so.
func TestMain(m *testing.M) {
	if what := os.Getenv(envChild); what != "" {
		runChild(what)
		return
	}
	// Once and for all: dubbo-go reads it without a lock, and so do goroutines of
	// references that ended.
	config.GetEnvInstance().SetDynamicConfiguration(center)
	code := m.Run()
	endChildren()
	os.Exit(code)
}

// center holds the rules that dubbo-go's own routers read.
var center = &ruleCenter{texts: map[string]string{}}

// mode is a row of the table: how a reference is made over a fleet.
type mode struct {
	options []client.ReferenceOption
	// place lists the fleet in the registries of the row, which begin with address.
	place func(address string, fleet []*provider)
	// registries returns the reference's options for them.
	registries func(address string) []client.ReferenceOption
	direct     bool // no registry: the addresses are in the reference
	chooses    bool // once a reference, not once a call: each call gets a reference of its own
	forks      int  // a call goes to so many at once, and returns with the first answer
	measures   bool // by a measure of its own: it may keep away from a provider as if it knew, or come to it late
	dial       func(t *testing.T, options ...client.ReferenceOption) caller
}

func single(address string, fleet []*provider) { list(address, fleet...) }

func one(address string) []client.ReferenceOption { return []client.ReferenceOption{at(address)} }

// two lists each provider but the first in one registry and each but the last in
// another, so that most are in both.
func two(address string, fleet []*provider) {
	list(address+"-1", fleet[1:]...)
	list(address+"-2", fleet[:len(fleet)-1]...)
}

func both(address string) []client.ReferenceOption {
	return []client.ReferenceOption{at(address + "-1"), at(address + "-2")}
}

// grouped gives the fleet groups in turn.
func grouped(address string, fleet []*provider) {
	for n, p := range fleet {
		p.url.SetParam(constant.GroupKey, fmt.Sprintf("g%d", 1+n%2))
	}
	list(address, fleet...)
}

// level is one registry that is asked at another level.
func level(o registry.Option) func(address string) []client.ReferenceOption {
	return func(address string) []client.ReferenceOption { return []client.ReferenceOption{at(address, o)} }
}

var modes = map[string]mode{
	"`failover`, or none (ours: `lossless`)": {},
	"`failfast`":                             {options: []client.ReferenceOption{client.WithClusterFailFast()}},
	"`failsafe`":                             {options: []client.ReferenceOption{client.WithClusterFailSafe()}},
	"`failback`":                             {options: []client.ReferenceOption{client.WithClusterFailBack()}},
	"`forking`":                              {options: []client.ReferenceOption{client.WithClusterForking()}, forks: 2},
	"`broadcast`":                            {options: []client.ReferenceOption{client.WithClusterBroadcast()}},
	"`available`":                            {options: []client.ReferenceOption{client.WithClusterAvailable()}, chooses: true},
	"`adaptiveService`":                      {options: []client.ReferenceOption{client.WithClusterAdaptiveService()}, measures: true},
	"`zoneAware`":                            {options: []client.ReferenceOption{client.WithClusterZoneAware()}},
	"`sticky: true`":                         {options: []client.ReferenceOption{client.WithSticky()}, chooses: true},
	"direct URLs":                            {direct: true},
	"generic":                                {dial: dialGeneric},
	"`group: \"*\"`":                         {options: []client.ReferenceOption{client.WithGroup("*")}, place: grouped},
	"`group: \"g1,g2\"`":                     {options: []client.ReferenceOption{client.WithGroup("g1,g2")}, place: grouped},
	"two registries":                         {place: two, registries: both},
	"two registries, one `preferred`": {place: two, registries: func(address string) []client.ReferenceOption {
		return []client.ReferenceOption{at(address + "-1"), at(address+"-2", registry.WithPreferred())}
	}},
	"`registry-type: service`": {options: []client.ReferenceOption{client.WithProvidedBy("order")}, registries: level(registry.WithRegisterService())},
	"`registry-type: all`":     {options: []client.ReferenceOption{client.WithProvidedBy("order")}, registries: level(registry.WithRegisterServiceAndInterface())},
	"`registry-type: service`, `group: \"*\"`": {
		options: []client.ReferenceOption{client.WithProvidedBy("order"), client.WithGroup("*")}, place: grouped,
		registries: level(registry.WithRegisterService()),
	},
	"two registries, `failfast`": {options: []client.ReferenceOption{client.WithClusterFailFast()}, place: two, registries: both},
}

func dialGeneric(t *testing.T, options ...client.ReferenceOption) caller {
	t.Helper()
	g, err := newClient(t).NewGenericService(service, options...)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, attachments map[string]any) error {
		_, err := g.Invoke(context.WithValue(ctx, constant.AttachmentKey, attachments), method, []string{"java.lang.String"}, nil)
		return err
	}
}

var addresses atomic.Int64

// over makes the reference of a row over a fleet, and a new one with each call of
// the function returned, and says how the fleet is listed anew.
func (m mode) over(t *testing.T, protocol string, fleet ...*provider) (dialOne func() caller, relist func(...*provider)) {
	t.Helper()
	options := append([]client.ReferenceOption{client.WithProtocol(protocol), client.WithRetries(0)}, m.options...)
	dialer := m.dial
	if dialer == nil {
		dialer = dial
	}
	if m.direct {
		var urls []string
		for _, p := range fleet {
			urls = append(urls, p.url.Protocol+"://"+p.address)
		}
		options = append(options, client.WithURL(strings.Join(urls, ";")))
		return func() caller { return dialer(t, options...) }, nil
	}
	place, registries := m.place, m.registries
	if place == nil {
		place = single
	}
	if registries == nil {
		registries = one
	}
	address := fmt.Sprintf("r%d", addresses.Add(1))
	place(address, fleet)
	options = append(options, registries(address)...)
	return func() caller { return dialer(t, options...) }, func(fleet ...*provider) { place(address, fleet) }
}

// calls makes n calls; with m.chooses each with a reference of its own.
func (m mode) calls(n int, dialOne func() caller, attachments func() map[string]any) (failed int) {
	c := dialOne()
	for i := range n {
		if m.chooses && i > 0 {
			c = dialOne()
		}
		before := ended.Load()
		err := c(context.Background(), attachments())
		if err != nil {
			failed++
		}
		for err == nil && ended.Load() < before+int64(m.forks) {
			runtime.Gosched() // the answer of one came before that of another
		}
	}
	return failed
}

func untagged() map[string]any { return map[string]any{} }

// several makes n warm providers of a lane.
func several(t *testing.T, protocol, lane string, n int) (fleet []*provider) {
	t.Helper()
	for range n {
		fleet = append(fleet, newProvider(t, protocol, lane, warm))
	}
	return fleet
}

func attempts(fleet []*provider) (n int64) {
	for _, p := range fleet {
		n += p.attempts.Load()
	}
	return n
}

const warm = time.Hour

// routing: a call with a tag stays in its lane, one without in the baseline, and
// with dubbo.force.tag nobody serves a lane that is not there.
func (m mode) routing(t *testing.T, protocol string) string {
	t.Helper()
	base, gray := several(t, protocol, "", 3), several(t, protocol, "gray", 3)
	fleet := []*provider{base[0], gray[0], base[1], gray[1], base[2], gray[2]}
	dialOne, _ := m.over(t, protocol, fleet...)
	for _, p := range fleet {
		p.answer = good
	}
	const n = 40
	m.calls(n, dialOne, func() map[string]any { return wanting("gray") })
	leaked := attempts(base)
	served := attempts(gray)
	m.calls(n, dialOne, untagged)
	leaked += attempts(gray) - served
	before := attempts(fleet)
	m.calls(1, dialOne, func() map[string]any {
		return map[string]any{tag.KeyTag: "blue", tag.KeyForce: "true"}
	})
	forced := attempts(fleet) - before
	switch {
	case leaked == 0 && served >= n && forced == 0:
		return "yes"
	case m.direct && served < n && forced == 0:
		return "no tags"
	}
	return fmt.Sprintf("leaked %d, served by the lane %d of %d, forced %d", leaked, served, n, forced)
}

// ramp: one provider of six is new. By the curve it gets 0.1/5.1 = 2 % of the
// calls, without a ramp 17 %. The bound between is 8 %: more than 4 standard
// deviations from both with the numbers of calls made here.
func (m mode) ramp(t *testing.T, protocol string) string {
	t.Helper()
	fleet := append(several(t, protocol, "", 5), newProvider(t, protocol, "", 0))
	fleet[5].answer = says(protocol, tag.StateWarming+";0")
	dialOne, _ := m.over(t, protocol, fleet...)
	n := 1500
	if m.chooses {
		n = 200
	}
	m.calls(n, dialOne, untagged)
	share := float64(fleet[5].attempts.Load()) / float64(attempts(fleet))
	if share < 0.08 && !m.measures {
		return "yes"
	}
	return "no"
}

// enough bounds the calls until one that chooses by its own measure has come to a
// provider that it does not know of anything bad.
const enough = 5_000

// comes calls until a provider has been tried n times more, and reports whether it was.
func (m mode) comes(p *provider, n int64, dialOne func() caller) bool {
	c, want := dialOne(), p.attempts.Load()+n
	for calls := 0; p.attempts.Load() < want && calls < enough; calls++ {
		_ = c(context.Background(), untagged())
	}
	return p.attempts.Load() >= want
}

// reroute: one provider of three refuses all calls, or is not there: none ran
// there. Are they all executed elsewhere?
func (m mode) reroute(t *testing.T, protocol string) string {
	t.Helper()
	all := func(bad func(base.Invocation) result.Result) bool {
		fleet := several(t, protocol, "", 3)
		fleet[1].answer = bad
		dialOne, _ := m.over(t, protocol, fleet...)
		const n = 40
		if m.measures && !m.comes(fleet[1], 1, dialOne) {
			return false // nor elsewhere: nobody knows
		}
		for _, p := range fleet {
			p.attempts.Store(0)
			p.executed.Store(0)
		}
		failed := m.calls(n, dialOne, untagged)
		if m.measures { // whoever came to it failed, and nobody else
			if tried := fleet[1].attempts.Load(); int64(failed) != tried || fleet[0].executed.Load()+fleet[2].executed.Load() != n-tried {
				t.Errorf("%d of %d calls tried the bad one, %d failed", tried, n, failed)
			}
			return false
		}
		return failed == 0 && fleet[0].executed.Load()+fleet[2].executed.Load() == n
	}
	refused, undialled := all(refuses(protocol)), all(dead)
	switch {
	case refused && undialled:
		return "yes"
	case undialled:
		return "dials"
	case !refused:
		return "no"
	}
	return "refusals only"
}

// outliers: nobody listens any more where one provider of three was. Do calls go
// on trying it? And if another reference of the process has found out?
func (m mode) outliers(t *testing.T, protocol string) string {
	t.Helper()
	const n = 40 // a third of them missing one of three is 1 in 10^7
	for _, found := range []bool{false, true} {
		fleet := several(t, protocol, "", 3)
		fleet[1].answer = dead
		dialOne, _ := m.over(t, protocol, fleet...)
		if found {
			fleet[1].state(t, m.known(fleet[1])).SetOutlier(true)
		}
		if m.measures && !found && m.comes(fleet[1], 2, dialOne) {
			continue // it was tried again
		}
		m.calls(n, dialOne, untagged)
		switch tried := fleet[1].attempts.Load(); {
		case !found && tried <= 1:
			return "finds"
		case found && tried == 0:
			return "heeds"
		}
	}
	return "no"
}

func (m mode) known(p *provider) string {
	if m.direct {
		return ""
	}
	return p.incarnation()
}

// drain: one provider of three leaves. It says so in an answer; by NOT_SERVING,
// of which the endpoint's state is what remains; or the registry drops it. No call
// may go there after that.
func (m mode) drain(t *testing.T, protocol string) string {
	t.Helper()
	const n = 40 // a third of them missing one of three is 1 in 10^7
	heard := func(leave func(p *provider, relist func(...*provider), fleet []*provider), told bool) bool {
		fleet := several(t, protocol, "", 3)
		dialOne, relist := m.over(t, protocol, fleet...)
		for deadline := time.Now().Add(patience); fleet[1].attempts.Load() == 0 && time.Now().Before(deadline); {
			m.calls(1, dialOne, untagged)
		}
		leave(fleet[1], relist, fleet)
		m.calls(n, dialOne, untagged)
		if m.measures && !told {
			return !m.comes(fleet[1], 1, dialOne)
		}
		for range 10 { // no call waits for the next snapshot, and this machine may be busy
			before := fleet[1].attempts.Load()
			if failed := m.calls(n, dialOne, untagged); failed > 0 {
				t.Errorf("%d calls failed beside one that leaves", failed)
			}
			if fleet[1].attempts.Load() == before {
				return true
			}
			time.Sleep(10 * time.Millisecond) // the pause between two looks, of which there are ten
		}
		return false
	}
	said := heard(func(p *provider, _ func(...*provider), _ []*provider) {
		p.answer = says(protocol, tag.StateClosing+";"+p.incarnation())
	}, false)
	marked := heard(func(p *provider, _ func(...*provider), _ []*provider) { p.state(t, m.known(p)).MarkClosing() }, true)
	dropped := m.direct || heard(func(_ *provider, relist func(...*provider), fleet []*provider) { relist(fleet[0], fleet[2]) }, true)
	switch {
	case said && marked && dropped:
		return "yes"
	case marked && dropped:
		return "when told"
	}
	return fmt.Sprintf("answers heard %t, marks %t, the registry %t", said, marked, dropped)
}

// TestTable compares the table of docs/modes.md with what happens.
func TestTable(t *testing.T) {
	columns, want := readTable(t)
	dial(t, client.WithURL("tri://127.0.0.1:1")) // the settings are read with the first reference
	old := *conf.Current()
	t.Cleanup(func() { conf.Set(old) })
	c := old
	c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = time.Hour, time.Hour // no outlier comes back meanwhile
	conf.Set(c)
	tests := map[string]func(mode, *testing.T, string) string{
		"routing": mode.routing, "ramp": mode.ramp, "reroute": mode.reroute, "outliers": mode.outliers, "drain": mode.drain,
	}
	if len(columns) != len(tests) {
		t.Errorf("columns %v, want one for each of %d tests", columns, len(tests))
	}
	for name := range want {
		if _, ok := modes[name]; !ok {
			t.Errorf("no test of row %s", name)
		}
	}
	for name, m := range modes {
		row, ok := want[name]
		if !ok {
			t.Errorf("row %s is not in docs/modes.md", name)
		}
		for _, protocol := range []string{constant.TriProtocol, constant.DubboProtocol} {
			t.Run(name+"/"+protocol, func(t *testing.T) {
				for _, column := range columns {
					if got, says := tests[column](m, t, protocol), row[column].of(protocol); got != says {
						t.Errorf("%s: %q, the table says %q", column, got, says)
					}
				}
			})
		}
	}
}
