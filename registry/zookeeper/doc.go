// SPDX-License-Identifier: Apache-2.0

// Package zookeeper follows tag rules in a ZooKeeper config centre. Importing it
// makes that so for config-center: protocol: zookeeper.
//
// It replaces nothing of dubbo-go: settings, condition rules and whatever else
// dubbo-go reads there go over dubbo-go's own client. That client's listeners
// ignore the group of a rule and end silently when the session expires; the
// watches here are set anew after whatever could have ended them.
//
// There is one further session per process, opened by the first application
// whose rule somebody wants.
package zookeeper

import (
	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/internal/center"
)

// Name is the protocol in dubbogo.yml.
const Name = "zookeeper"

func init() {
	center.Register(Name, func(u *common.URL) (center.Source, error) { return newRules(u) })
}
