// SPDX-License-Identifier: Apache-2.0

// Package etcd replaces dubbo-go's etcd registry, service discovery and
// metadata report under their own name, [Name], and adds the config centre that
// dubbo-go does not have.
//
// Keys and values are dubbo-go's, so plain dubbo-go peers on the same etcd see
// Graylane's instances and Graylane sees theirs. What differs is behaviour:
// UnRegister deletes, instances that leave are reported, every subscription
// has a watch of its own, a lost lease is granted again and everything written
// again, a watch that broke ends in a full re-read, and a read that failed never
// looks like an empty list. See docs/registry-etcd.md.
//
// Constructors are lazy: they return at once, whether etcd is up or not; writes
// fail after the registry's timeout (registry.timeout, default 5s). [Check] asks
// whether etcd can be reached. All objects of a process share one connection
// per address set; it is opened by the first use and closed with the last user.
//
// All types are safe for concurrent use. Listeners are called one at a time per
// subscription, from a goroutine of this package (LoadSubscribeInstances: from the
// caller's), with no lock held that a call into this package needs.
package etcd

import (
	"os"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/etcd" // registers first, so that ours wins by name
	"dubbo.apache.org/dubbo-go/v3/registry"
	_ "dubbo.apache.org/dubbo-go/v3/registry/etcdv3" // registers first, so that ours wins by name

	"github.com/graylane/graylane/internal/center"
)

// Name is the name in dubbogo.yml, the same as dubbo-go's: protocol: etcdv3.
const Name = "etcdv3"

func init() {
	// There is no config centre on etcd in dubbo-go: nothing is replaced, and with
	// mode off a dubbogo.yml that names it must still start.
	extension.SetConfigCenterFactory(Name, func() config_center.DynamicConfigurationFactory { return CenterFactory{} })
	center.Register(Name, newRuleSource)
	if os.Getenv("GRAYLANE_MODE") == "off" {
		return // then nothing of dubbo-go is touched
	}
	extension.SetRegistry(Name, func(u *common.URL) (registry.Registry, error) { return NewRegistry(u) })
	extension.SetServiceDiscovery(Name, func(u *common.URL) (registry.ServiceDiscovery, error) { return NewDiscovery(u) })
	extension.SetMetadataReportFactory(Name, func() report.MetadataReportFactory { return ReportFactory{} })
}
