// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"net"
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple/health" // NOT_SERVING reaches Triple callers through it
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/registry/protocol"
)

// RegistryName is the protocol of registry URLs between dubbo-go and us.
const RegistryName = "graylane-registry"

func init() {
	extension.SetRegistry(RegistryName, func(u *common.URL) (registry.Registry, error) { return process.lookup(u) })
}

// Export exports a service through dubbo-go's registry protocol, with our
// registry in between. The invoker's URL is a registry's, with the service as its
// SubURL, as dubbo-go makes it; it is changed. A port that cannot be bound ends
// the process with one line, since dubbo-go would only log it.
func Export(invoker base.Invoker) base.Exporter { return process.export(invoker) }

func (m *manager) export(invoker base.Invoker) base.Exporter {
	m.install()
	u := invoker.GetURL()
	if service := u.SubURL; service != nil {
		if err := m.noteService(service); err != nil {
			fatal(err)
			return nil
		}
	}
	r := m.known(u) // dubbo-go has one URL of a registry for all protocols of a service
	if r == nil {
		r = m.registrarFor(u)
		u.Protocol = RegistryName
		u.PrimitiveURL = r.key // dubbo-go's key of its registries, which else is the address alone
	}
	inner := protocol.GetProtocol().Export(invoker)
	if inner == nil || u.SubURL == nil {
		return inner
	}
	return m.exporterOf(inner, r, serviceKey(u.SubURL))
}

// noteService remembers a service for the report and tries its port once.
func (m *manager) noteService(service *common.URL) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.exports++
	m.exporting = true
	if m.app == "" {
		m.app = service.GetParam(constant.ApplicationKey, "")
	}
	registered := service.Clone()
	common.HandleRegisterIPAndPort(registered) // DUBBO_IP_TO_REGISTRY and the like
	if addr := net.JoinHostPort(registered.Ip, registered.Port); !slices.Contains(m.addresses, addr) {
		m.addresses = append(m.addresses, addr)
	}
	if m.checked[service.Location] || service.Port == "" || service.Port == "0" || served(service) {
		return nil
	}
	m.checked[service.Location] = true
	l, err := net.Listen("tcp", service.Location)
	if err != nil {
		return fmt.Errorf("protocol %s: listen %s: %w", service.Protocol, service.Location, cause(err))
	}
	return l.Close()
}

// served reports whether this process itself has the port already: dubbo-go's
// metadata service is exported before the user's, on the same port if so set.
func served(service *common.URL) (found bool) {
	for _, name := range []string{constant.TriProtocol, constant.DubboProtocol} {
		p, ok := protocolIfThere(name).(interface{ ExporterMap() *sync.Map })
		if !ok {
			continue
		}
		p.ExporterMap().Range(func(_, v any) bool {
			if e, ok := v.(base.Exporter); ok {
				if i := e.GetInvoker(); i != nil && i.GetURL() != nil && i.GetURL().Port == service.Port {
					found = true
				}
			}
			return !found
		})
	}
	return found
}

// protocolIfThere returns nil where dubbo-go panics: a protocol not imported.
func protocolIfThere(name string) (p base.Protocol) {
	defer func() { _ = recover() }() // p stays nil
	return extension.GetProtocol(name)
}

// cause takes net's own words around the reason away; we say them ourselves.
func cause(err error) error {
	type unwrapper interface{ Unwrap() error }
	for {
		u, ok := err.(unwrapper)
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}
