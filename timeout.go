// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
)

// setTimeout gives a reference the timeout that dubbogo.yml sets for it: dubbo-go
// overwrites it by the consumer's before anybody can read it.
func setTimeout(u *common.URL) {
	consumer, ok := attribute[*global.ConsumerConfig](u, constant.ConsumerConfigKey)
	if !ok || consumer == nil {
		return
	}
	if r := yamlReference(consumer.References, u.Interface(), u.GetParam(constant.BeanNameKey, "")); r != nil && r.RequestTimeout != "" {
		u.SetParam(constant.TimeoutKey, r.RequestTimeout)
	}
}

// yamlReference finds the section `references.<name>` of an interface: by its
// `interface`, or else by its name, which is that of the service's type.
func yamlReference(all map[string]*global.ReferenceConfig, service, id string) *global.ReferenceConfig {
	for name, r := range all {
		if r != nil && (r.InterfaceName == service || r.InterfaceName == "" && (name == service || name == id)) {
			return r
		}
	}
	simple := service[strings.LastIndexByte(service, '.')+1:]
	for name, r := range all {
		if r != nil && r.InterfaceName == "" && (name == simple || name == simple+"Impl") {
			return r
		}
	}
	return nil
}
