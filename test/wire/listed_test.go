// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wire

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// listing is a registry that lists what a test says.
type listing struct {
	url *common.URL

	mu   sync.Mutex
	list []*common.URL
	subs []registry.NotifyListener
}

func (*listing) IsAvailable() bool                                                 { return true }
func (*listing) Destroy()                                                          {}
func (*listing) Register(*common.URL) error                                        { return nil }
func (*listing) UnRegister(*common.URL) error                                      { return nil }
func (*listing) UnSubscribe(*common.URL, registry.NotifyListener) error            { return nil }
func (*listing) LoadSubscribeInstances(*common.URL, registry.NotifyListener) error { return nil }
func (l *listing) GetURL() *common.URL                                             { return l.url }

// Subscribe hands over the list and those that follow it.
func (l *listing) Subscribe(_ *common.URL, s registry.NotifyListener) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs = append(l.subs, s)
	l.tell(s)
	return nil
}

func (l *listing) tell(s registry.NotifyListener) {
	var events []*registry.ServiceEvent
	for _, u := range l.list {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
	}
	s.NotifyAll(events, func() {})
}

// push lists the addresses from now on.
func (l *listing) push(t *testing.T, k kind, service string, addresses ...string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
	for _, a := range addresses {
		l.list = append(l.list, must(common.NewURL(fmt.Sprintf("%s://%s/%s", k.protocol, a, service), common.WithInterface(service), common.WithMethods([]string{"Call"}),
			common.WithParamsValue(constant.InterfaceKey, service), common.WithParamsValue(constant.ApplicationKey, "shop"),
			common.WithParamsValue(constant.SerializationKey, constant.Hessian2Serialization)))(t))
	}
	for _, s := range l.subs {
		l.tell(s)
	}
}

// answered reports whether a call was answered at an address.
func answered(address string) bool {
	return slices.ContainsFunc(endpoint.Shared.Ledger(), func(e endpoint.Entry) bool { return e.Address == address && e.Answered > 0 })
}

// TestDeadOnesOfAList: of the addresses in a list, over dubbo, nobody listens at one and
// one answers no connection, at which dubbo-go dials for three seconds. Neither holds up
// the reference, its calls, a later list, or another reference that has them too.
func TestDeadOnesOfAList(t *testing.T) {
	const soon = 1500 * time.Millisecond // half of one dial
	for n, k := range dubbo2 {
		t.Run(k.String(), func(t *testing.T) {
			first, second := serve(t, k, echo), serve(t, k, echo) // one process: each port has all services
			closed, mute := ports.Dead(), ports.Dead()
			silent(t, mute)
			somewhere, _ := listen(t, func(net.Conn) {}) // a registry must be reachable
			l := &listing{}
			name := fmt.Sprintf("wire-listing%d", n)
			extension.SetRegistry(name, func(u *common.URL) (registry.Registry, error) {
				l.url = u
				return l, nil
			})
			l.push(t, k, first.name, closed, mute, first.addr)
			within := func(what string, f func()) {
				t.Helper()
				begin := time.Now()
				f()
				if took := time.Since(begin); took > soon {
					t.Errorf("%s: took %v, want less than %v", what, took, soon)
				}
			}
			reference := func() func() {
				call := dialBy(t, must(must(instance())(t).NewClient())(t), k, first.name, "", client.WithRegistry(
					registry.WithRegistry(name), registry.WithID(name), registry.WithAddress(somewhere),
					registry.WithRegisterInterface(), registry.WithoutUseAsConfigCenter(), registry.WithoutUseAsMetaReport()))
				return func() {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
					defer cancel()
					if out, err := call(ctx, "x"); err != nil || out != "x" {
						t.Errorf("%q, %v", out, err)
					}
				}
			}
			var call func()
			within("a reference and its first call", func() {
				call = reference()
				call()
			})
			within("50 calls", func() {
				for range 50 {
					call()
				}
			})
			within("another reference", func() { reference()() })
			within("a later list", func() {
				l.push(t, k, first.name, closed, mute, second.addr)
				for deadline := time.Now().Add(10 * time.Second); !answered(second.addr) && time.Now().Before(deadline); {
					call()
				}
			})
			if answered(closed) || answered(mute) {
				t.Error("a dead address has answered")
			}
		})
	}
}
