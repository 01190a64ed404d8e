// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	dubbologger "dubbo.apache.org/dubbo-go/v3/logger"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane"
	_ "github.com/graylane/graylane/imports"
)

const (
	registryName = "calls-registry"
	triService   = "graylane.calls.Tri"   // protobuf, as generated code calls it
	dubboService = "graylane.calls.Dubbo" // hessian2, by a proxy
)

// services are the ones that are called, by protocol.
var services = map[string]string{"tri": triService, "dubbo": dubboService} //nolint:gochecknoglobals // a constant

// runRole runs what its parent says that this process is, false if it has none.
func runRole() bool {
	if os.Getenv(envRole) == "" {
		return false
	}
	var r role
	in := json.NewDecoder(os.Stdin)
	check(in.Decode(&r))
	// The ramp is left out, as after the first two minutes: it would be over half-way.
	c := graylane.Default()
	c.Warmup.Window = 0
	check(graylane.Configure(c))
	extension.SetRegistry(registryName, func(u *common.URL) (registry.Registry, error) { return &listed{u, r.Providers, r.Ports}, nil })
	if r.Ports != nil {
		r.serve()
	} else {
		r.call(in)
	}
	return true
}

func check(err error) {
	if err != nil {
		fmt.Println("child:", err)
		os.Exit(3)
	}
}

var saying sync.Mutex //nolint:gochecknoglobals // one stdout a process

func say(text string) {
	saying.Lock()
	defer saying.Unlock()
	_, err := os.Stdout.WriteString(mark + text + "\n")
	check(err)
}

func instance(more ...dubbo.InstanceOption) *dubbo.Instance {
	ins, err := dubbo.NewInstance(append([]dubbo.InstanceOption{
		dubbo.WithName("calls"), dubbo.WithLogger(dubbologger.WithLevel("error")),
		dubbo.WithRegistry(registry.WithRegistry(registryName), registry.WithAddress("calls"), registry.WithRegisterInterface(),
			registry.WithoutUseAsMetaReport(), registry.WithoutUseAsConfigCenter()),
	}, more...)...)
	check(err)
	return ins
}

// registered is what this process has registered: a provider of Graylane's looks
// whether callers see it.
var registered struct { //nolint:gochecknoglobals // dubbo-go makes more than one registry object
	sync.Mutex
	urls []*common.URL
}

// listed is a registry that lists what its client was told, and tells what its
// provider registers.
type listed struct {
	u         *common.URL
	providers []string
	ports     map[string][]int
}

func (l *listed) GetURL() *common.URL                                  { return l.u }
func (*listed) IsAvailable() bool                                      { return true }
func (*listed) Destroy()                                               {}
func (*listed) UnRegister(*common.URL) error                           { return nil }
func (*listed) Subscribe(*common.URL, registry.NotifyListener) error   { return nil }
func (*listed) UnSubscribe(*common.URL, registry.NotifyListener) error { return nil }

// Register tells the ports of the service's own protocol; each service is exported
// over both.
func (l *listed) Register(u *common.URL) error {
	registered.Lock()
	registered.urls = append(registered.urls, u.Clone())
	registered.Unlock()
	if services[u.Protocol] == u.Service() {
		for _, port := range l.ports[u.Protocol] {
			say(at(u, port).String())
		}
	}
	return nil
}

func (l *listed) LoadSubscribeInstances(_ *common.URL, to registry.NotifyListener) error {
	events := make([]*registry.ServiceEvent, 0, len(l.providers))
	for _, text := range l.providers {
		u, err := common.NewURL(text)
		if err != nil {
			return err
		}
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u})
	}
	registered.Lock()
	for _, u := range registered.urls {
		events = append(events, &registry.ServiceEvent{Action: remoting.EventTypeUpdate, Service: u.Clone()})
	}
	registered.Unlock()
	done := make(chan struct{})
	to.NotifyAll(events, func() { close(done) })
	<-done
	return nil
}

// Handler is both services (exported, or dubbo-go refuses it): it says what it heard.
type Handler struct{ name string }

// Reference names the service.
func (h *Handler) Reference() string { return h.name }

// Call is reached by reflection.
func (*Handler) Call(_ context.Context, in string) (string, error) { return in, nil }

// serve runs a provider on all of its ports until nobody talks to it any more.
func (r role) serve() {
	protocols := make([]dubbo.InstanceOption, 0, 1+len(r.Ports))
	protocols = append(protocols, dubbo.WithMetadataServicePort(r.Metadata))
	for name, ports := range r.Ports {
		protocols = append(protocols, dubbo.WithProtocol(protocol.WithProtocol(name), protocol.WithID(name), protocol.WithIp("127.0.0.1"), protocol.WithPort(ports[0])))
		everywhere := &manyPorts{extension.GetProtocol(name), ports}
		extension.SetProtocol(name, func() base.Protocol { return everywhere })
	}
	srv, err := instance(protocols...).NewServer()
	check(err)
	check(srv.Register(&Handler{triService}, &common.ServiceInfo{InterfaceName: triService, Methods: []common.MethodInfo{{
		Name: "Call", Type: constant.CallUnary,
		ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
		MethodFunc: func(_ context.Context, args []any, _ any) (any, error) {
			in, ok := args[0].(*wrapperspb.StringValue)
			if !ok {
				return nil, fmt.Errorf("got %T, want a StringValue", args[0])
			}
			return triple_protocol.NewResponse(wrapperspb.String(in.GetValue())), nil
		},
	}}}, server.WithInterface(triService)))
	check(srv.RegisterService(&Handler{dubboService}, server.WithInterface(dubboService), server.WithSerialization(constant.Hessian2Serialization)))
	go func() { check(srv.Serve()) }()
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// manyPorts exports on further ports what is exported on one, filters and all:
// dubbo-go itself exports a service once a process and protocol.
type manyPorts struct {
	base.Protocol
	ports []int
}

// Export returns the exporter of the first port; the others live as long as the process.
func (m *manyPorts) Export(i base.Invoker) base.Exporter {
	first := m.Protocol.Export(i)
	if i.GetURL().Port != strconv.Itoa(m.ports[0]) { // dubbo-go's metadata service
		return first
	}
	for _, port := range m.ports[1:] {
		m.Protocol.Export(&moved{i, at(i.GetURL(), port)})
	}
	return first
}

// moved is an invoker at another port.
type moved struct {
	base.Invoker
	u *common.URL
}

// GetURL says where.
func (m *moved) GetURL() *common.URL { return m.u }

func at(u *common.URL, port int) *common.URL {
	c := u.Clone()
	c.Port = strconv.Itoa(port)
	c.Location = net.JoinHostPort(c.Ip, c.Port)
	return c
}

// answers reports whether an answer is the one that was asked for.
func answers(got string) error {
	if got != payload {
		return fmt.Errorf("answer %q, want %q", got, payload)
	}
	return nil
}

// payload is what goes there and back: about as much as an identifier.
var payload = strings.Repeat("graylane", 8) //nolint:gochecknoglobals // a constant
