// SPDX-License-Identifier: Apache-2.0

// Package zookeeper replaces dubbo-go's ZooKeeper registry, service discovery and
// metadata report under their own name, [Name], and follows tag rules in a ZooKeeper
// config centre.
//
// Nodes are dubbo-go's and Dubbo Java's, so plain peers on the same ZooKeeper see
// Graylane's instances and Graylane sees theirs. What differs is behaviour:
// subscriptions outlive a break of the connection, a lost session is replaced and
// everything written again, a server that has lost its data is joined anew instead of
// turning the process away for ever, and a read that failed never looks like an empty
// list. See docs/registry-zookeeper.md.
//
// Constructors are lazy: they return at once, whether ZooKeeper is up or not; writes
// fail after the registry's timeout (registry.timeout, default 5s). All registry
// objects of a process share one session per set of servers. Settings, condition rules
// and whatever else dubbo-go reads in the config centre go over dubbo-go's own client;
// there is one further session for tag rules, opened by the first application whose
// rule somebody wants.
//
// All types are safe for concurrent use. Listeners are called one at a time per
// subscription, from a goroutine of this package (LoadSubscribeInstances: from the
// caller's), with no lock held that a call into this package needs.
package zookeeper

import (
	"os"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/metadata/report"
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/zookeeper" // registers first, so that ours wins by name
	"dubbo.apache.org/dubbo-go/v3/registry"
	_ "dubbo.apache.org/dubbo-go/v3/registry/zookeeper" // registers first, so that ours wins by name

	"github.com/graylane/graylane/internal/center"
)

// Name is the name in dubbogo.yml.
const Name = "zookeeper"

func init() {
	center.Register(Name, func(u *common.URL) (center.Source, error) { return newRules(u) })
	if os.Getenv("GRAYLANE_MODE") == "off" {
		return // then nothing of dubbo-go is touched
	}
	extension.SetRegistry(Name, func(u *common.URL) (registry.Registry, error) { return NewRegistry(u) })
	extension.SetServiceDiscovery(Name, func(u *common.URL) (registry.ServiceDiscovery, error) { return NewDiscovery(u) })
	extension.SetMetadataReportFactory(Name, func() report.MetadataReportFactory { return ReportFactory{} })
}
