// SPDX-License-Identifier: Apache-2.0

package dubbo

// The parts of dubbo-go that the shop uses, instead of its `imports` package,
// which brings every protocol, registry and tracer.
import (
	// dubbo-go's own cluster, balancer and tag router: what `mode: off` runs on.
	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/failover"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/cluster/zoneaware"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/loadbalance/random"
	_ "dubbo.apache.org/dubbo-go/v3/cluster/router/tag"
	// The filters of dubbo-go's default list: with `mode: off` a name of the
	// list that is not imported is a nil pointer at the first call.
	_ "dubbo.apache.org/dubbo-go/v3/filter/accesslog"
	_ "dubbo.apache.org/dubbo-go/v3/filter/echo"
	_ "dubbo.apache.org/dubbo-go/v3/filter/exec_limit"
	_ "dubbo.apache.org/dubbo-go/v3/filter/generic"
	_ "dubbo.apache.org/dubbo-go/v3/filter/graceful_shutdown"
	_ "dubbo.apache.org/dubbo-go/v3/filter/token"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps/limiter"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps/strategy"
	// Which application offers a service, for application-level discovery.
	_ "dubbo.apache.org/dubbo-go/v3/metadata/mapping/metadata"
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/etcd"
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/nacos"
	_ "dubbo.apache.org/dubbo-go/v3/metadata/report/zookeeper"
	// Calls: the Triple protocol, its health service (callers learn from it that
	// a provider closes) and the Dubbo protocol, over which dubbo-go serves the
	// metadata that application-level discovery asks for.
	_ "dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/protocolwrapper"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple"
	_ "dubbo.apache.org/dubbo-go/v3/protocol/triple/health"
	_ "dubbo.apache.org/dubbo-go/v3/proxy/proxy_factory"
	// Registries, and what turns their lists into invokers.
	_ "dubbo.apache.org/dubbo-go/v3/registry/directory"
	_ "dubbo.apache.org/dubbo-go/v3/registry/etcdv3"
	_ "dubbo.apache.org/dubbo-go/v3/registry/nacos"
	_ "dubbo.apache.org/dubbo-go/v3/registry/protocol"
	_ "dubbo.apache.org/dubbo-go/v3/registry/servicediscovery"
	_ "dubbo.apache.org/dubbo-go/v3/registry/zookeeper"

	// Graylane: this is all that enables it. Its etcd and Nacos parts take the place
	// of dubbo-go's, whose consumers do not see instances come and go, or lose tags.
	_ "github.com/graylane/graylane"
	_ "github.com/graylane/graylane/registry/etcd"      // its etcd parts
	_ "github.com/graylane/graylane/registry/nacos"     // its Nacos parts
	_ "github.com/graylane/graylane/registry/zookeeper" // its ZooKeeper parts
)
