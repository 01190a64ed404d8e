// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/registry"
	dubboprotocol "dubbo.apache.org/dubbo-go/v3/registry/protocol"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/registry/discovery"
	"github.com/graylane/graylane/registry/lifecycle"
)

// registryProtocol is dubbo-go's protocol `registry` in our hands: references are
// ours, exports go through lifecycle to dubbo-go's, and the second step of every
// graceful shutdown is the drain. In mode off it is dubbo-go's.
type registryProtocol struct{}

var theProtocol = registryProtocol{} //nolint:gochecknoglobals // a constant

var (
	_ base.Protocol             = registryProtocol{}
	_ base.RegistryUnregisterer = registryProtocol{}
	_ registry.RegistryFactory  = registryProtocol{}
)

// Refer implements dubbo-go's Protocol.
func (registryProtocol) Refer(u *common.URL) base.Invoker {
	if conf.Current().Mode == Off {
		return dubboprotocol.GetProtocol().Refer(u)
	}
	return discovery.Refer(u)
}

// Export implements dubbo-go's Protocol.
func (registryProtocol) Export(i base.Invoker) base.Exporter {
	if conf.Current().Mode == Off {
		return dubboprotocol.GetProtocol().Export(i)
	}
	return lifecycle.Export(i)
}

// Destroy implements dubbo-go's Protocol.
func (registryProtocol) Destroy() { dubboprotocol.GetProtocol().Destroy() }

// GetRegistries implements dubbo-go's RegistryFactory.
func (registryProtocol) GetRegistries() []registry.Registry {
	if conf.Current().Mode == Off {
		if f, ok := dubboprotocol.GetProtocol().(registry.RegistryFactory); ok {
			return f.GetRegistries()
		}
	}
	return lifecycle.Registries()
}

// UnregisterRegistries implements dubbo-go's RegistryUnregisterer: the drain.
func (registryProtocol) UnregisterRegistries() {
	if conf.Current().Mode == Off {
		if u, ok := dubboprotocol.GetProtocol().(base.RegistryUnregisterer); ok {
			u.UnregisterRegistries()
		}
		return
	}
	lifecycle.UnregisterRegistries()
}
