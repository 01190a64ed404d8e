// SPDX-License-Identifier: Apache-2.0

// Package imports enables all of Graylane, with all of dubbo-go's parts, as
// dubbo-go's package of the same name does:
//
//	import _ "github.com/graylane/graylane/imports"
package imports

import (
	_ "dubbo.apache.org/dubbo-go/v3/imports" // every part of dubbo-go

	_ "github.com/graylane/graylane"                    // the core
	_ "github.com/graylane/graylane/registry/etcd"      // instead of dubbo-go's etcd parts, which miss changes
	_ "github.com/graylane/graylane/registry/nacos"     // instead of dubbo-go's Nacos registry, which loses tags and instances
	_ "github.com/graylane/graylane/registry/zookeeper" // replaces dubbo-go's ZooKeeper parts
)
