// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/filter/tag"
)

const service = "com.shop.Order"

// fakeProtocol makes an invoker an address; wire is what the tests see of them.
type fakeProtocol struct{ base.BaseProtocol }

type fakeInvoker struct{ *base.BaseInvoker }

func (f *fakeInvoker) Invoke(context.Context, base.Invocation) result.Result {
	wire.Lock()
	defer wire.Unlock()
	wire.asked++
	if state, ok := wire.says[f.GetURL().GetParam(tag.MetaIncarnation, "")]; ok {
		return &result.RPCResult{Attrs: map[string]any{tag.KeyState: state}}
	}
	return &result.RPCResult{Err: wire.fails}
}

var wire struct {
	sync.Mutex
	made map[string]*fakeInvoker  // by incarnation, the last
	bad  map[string]int           // by incarnation: so many Refers give nil
	slow map[string]time.Duration // by incarnation: how long a Refer takes
	n    map[string]int           // Refers

	says  map[string]string // by incarnation: the mark of its answers
	fails error             // of those that are not in says
	asked int               // calls
}

// newWire forgets what a former test made and asked for.
func newWire() {
	wire.Lock()
	defer wire.Unlock()
	wire.made, wire.bad, wire.n, wire.slow = map[string]*fakeInvoker{}, map[string]int{}, map[string]int{}, map[string]time.Duration{}
	wire.says, wire.fails, wire.asked = map[string]string{}, nil, 0
}

func (*fakeProtocol) Refer(u *common.URL) base.Invoker {
	id := u.GetParam(tag.MetaIncarnation, "")
	wire.Lock()
	slow := wire.slow[id]
	wire.Unlock()
	time.Sleep(slow)
	wire.Lock()
	defer wire.Unlock()
	wire.n[id]++
	if wire.bad[id] > 0 {
		wire.bad[id]--
		return nil
	}
	wire.made[id] = &fakeInvoker{base.NewBaseInvoker(u)}
	return wire.made[id]
}

func init() {
	extension.SetProtocol("fakep", func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
}

func alive(incarnation string) bool {
	wire.Lock()
	defer wire.Unlock()
	i := wire.made[incarnation]
	return i != nil && !i.IsDestroyed()
}

// bubble runs f with a directory on a virtual clock. Nothing may be left behind.
func bubble(t *testing.T, f func(*testing.T, *Directory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		newWire()
		u := registryURL()
		d := newDirectory(u)
		d.newSource(u, u.SubURL)
		f(t, d)
		d.Destroy()
		time.Sleep(time.Minute) // timers of what was known
		synctest.Wait()
		for id, i := range wire.made {
			if !i.IsDestroyed() {
				t.Errorf("%s lives after Destroy", id)
			}
		}
	})
}

func registryURL() *common.URL {
	ref := common.NewURLWithOptions(common.WithProtocol("fakep"), common.WithPath(service), common.WithInterface(service),
		common.WithParamsValue(constant.ApplicationKey, "gateway"), common.WithParamsValue(tag.KeyTag, "blue"))
	u := common.NewURLWithOptions(common.WithProtocol("fakereg"), common.WithIp("registry"), common.WithPort("1"),
		common.WithParamsValue(constant.RegistryKey, "fakereg"))
	u.SubURL = ref
	return u
}

// provider makes a provider's URL; born is its StartTime in seconds, more are
// parameters in pairs.
func providerURL(port int, incarnation string, born int, more ...string) *common.URL {
	text := fmt.Sprintf("fakep://127.0.0.1:%d/%s?interface=%s&application=order&methods=Get&%s=%d&%s=60000&%s=%s",
		port, service, service, tag.MetaStartTime, born*1000, tag.MetaWarmupTime, tag.MetaIncarnation, incarnation)
	var params strings.Builder
	for n := 0; n < len(more); n += 2 {
		params.WriteString("&" + more[n] + "=" + more[n+1])
	}
	u, err := common.NewURL(text + params.String())
	if err != nil {
		panic(err)
	}
	return u
}

func (d *Directory) say(action remoting.EventType, u *common.URL) {
	d.sources[0].Notify(&registry.ServiceEvent{Action: action, Service: u})
	synctest.Wait()
}

func (d *Directory) all(urls ...*common.URL) {
	var events []*registry.ServiceEvent
	for _, u := range urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u})
	}
	told := false
	d.sources[0].NotifyAll(events, func() { told = true })
	if !told {
		panic("NotifyAll did not call back")
	}
	synctest.Wait()
}

// want compares the usable endpoints: incarnations, sorted.
func want(t *testing.T, d *Directory, step string, incarnations ...string) {
	t.Helper()
	var got []string
	for _, e := range d.Endpoints() {
		if e.Usable() {
			got = append(got, e.Incarnation)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, incarnations) {
		t.Errorf("%s: usable %v, want %v", step, got, incarnations)
	}
	if d.IsAvailable() != (len(got) > 0) {
		t.Errorf("%s: IsAvailable = %t", step, d.IsAvailable())
	}
}
