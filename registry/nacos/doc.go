// SPDX-License-Identifier: Apache-2.0

// Package nacos replaces dubbo-go's Nacos registry and service discovery under
// their own name, [Name].
//
// Service names, groups and instances are dubbo-go's and Java's, so plain peers on
// the same Nacos see Graylane's instances and Graylane sees theirs. What differs is
// behaviour: several instances of one service in one process all stay registered,
// one that is taken out takes no other along, tag and metadata are there after
// every push, the weight that Nacos gives an instance counts, registrations and
// subscriptions come again after an outage. See docs/registry-nacos.md.
//
// It speaks to Nacos by the messages of nacos-sdk-go, over a connection of its own:
// the SDK's client gives up on registrations and subscriptions that fail at a
// reconnect, writes a cache and a log folder, and leaves goroutines behind.
// dubbo-go's metadata report and config centre on Nacos stay dubbo-go's; they get
// folders of their own process, unless the user names some.
//
// Constructors are lazy: they return at once, whether Nacos is up or not; writes
// fail after the registry's timeout (registry.timeout, default 5s). [Check] asks
// whether Nacos can be reached. All objects of a process share one connection per
// address set, namespace and account; it is opened by the first use and closed with
// the last user.
//
// All types are safe for concurrent use. Listeners are called one at a time per
// subscription, from a goroutine of this package (LoadSubscribeInstances and
// Subscribe: from the caller's), with no lock held that a call into this package needs.
package nacos

import (
	"os"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	_ "dubbo.apache.org/dubbo-go/v3/config_center/nacos"   // registers first, so that ours can stand before it
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/nacos" // registers first, so that ours can stand before it
	"dubbo.apache.org/dubbo-go/v3/registry"
	_ "dubbo.apache.org/dubbo-go/v3/registry/nacos" // registers first, so that ours wins by name
)

// Name is the name in dubbogo.yml, the same as dubbo-go's: protocol: nacos.
const Name = "nacos"

func init() {
	if os.Getenv("GRAYLANE_MODE") == "off" {
		return // then nothing of dubbo-go is touched
	}
	enable()
}

// enable puts our parts in the place of dubbo-go's.
func enable() {
	extension.SetRegistry(Name, func(u *common.URL) (registry.Registry, error) { return NewRegistry(u) })
	extension.SetServiceDiscovery(Name, func(u *common.URL) (registry.ServiceDiscovery, error) { return NewDiscovery(u) })
	separateFolders()
}
