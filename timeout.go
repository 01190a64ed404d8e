// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"

	"github.com/graylane/graylane/internal/meta"
)

// setTimeout gives a reference the timeout that dubbogo.yml sets for it: dubbo-go
// overwrites it by the consumer's before anybody can read it.
func setTimeout(u *common.URL) {
	consumer, ok := attribute[*global.ConsumerConfig](u, constant.ConsumerConfigKey)
	if !ok || consumer == nil {
		return
	}
	if r := yamlReference(consumer.References, u); r != nil && r.RequestTimeout != "" {
		u.SetParam(constant.TimeoutKey, r.RequestTimeout)
	}
}

// yamlReference finds the section `references.<name>` of a reference: by its
// `interface`, or else by its name, which is the interface's or that of the
// service's type. Where that leaves several, see [pick].
func yamlReference(all map[string]*global.ReferenceConfig, u *common.URL) *global.ReferenceConfig {
	service, id := u.Interface(), u.GetParam(constant.BeanNameKey, "")
	simple := service[strings.LastIndexByte(service, '.')+1:]
	named, guessed := map[string]*global.ReferenceConfig{}, map[string]*global.ReferenceConfig{}
	for name, r := range all {
		switch {
		case r == nil:
		case r.InterfaceName == service || r.InterfaceName == "" && (name == service || name == id):
			named[name] = r
		case r.InterfaceName == "" && (name == simple || name == simple+"Impl"):
			guessed[name] = r
		}
	}
	if len(named) == 0 {
		named = guessed
	}
	return pick(named, u)
}

// pick chooses among the sections of one interface: the one that says the
// reference's group and version; else the one that is named after its type; else
// the one that leaves open what it does not say. Where two say the same, the name
// decides. It returns nil rather than guess.
func pick(sections map[string]*global.ReferenceConfig, u *common.URL) *global.ReferenceConfig {
	id := u.GetParam(constant.BeanNameKey, "")
	app, _ := attribute[*global.ApplicationConfig](u, constant.ApplicationKey)
	if app == nil {
		app = &global.ApplicationConfig{}
	}
	var equal, open []*global.ReferenceConfig
	for _, r := range sections {
		if r.Group == u.Group() && r.Version == u.Version() {
			equal = append(equal, r)
		}
		if unsaid(r.Group, u.Group(), app.Group) && unsaid(r.Version, u.Version(), app.Version) {
			open = append(open, r)
		}
	}
	byName := sections[id]
	if len(equal) == 0 && byName != nil && id != u.Interface() { // all references of an interface may have its name
		return byName
	}
	if len(equal) == 0 {
		equal = open
	}
	for _, r := range equal {
		if r == byName || len(equal) == 1 {
			return r
		}
	}
	return nil
}

// unsaid reports that a section's group or version fits the reference's, or was
// not written: dubbo-go then fills in the application's.
func unsaid(section, reference, application string) bool {
	return section == reference || section == "" || section == application
}

// noteCheck leaves at the reference whether the process is ready only with a provider
// of it: `check` of its section in dubbogo.yml, else of the consumer.
func noteCheck(u *common.URL) {
	consumer, ok := attribute[*global.ConsumerConfig](u, constant.ConsumerConfigKey)
	if !ok || consumer == nil {
		return
	}
	check := consumer.Check
	if r := yamlReference(consumer.References, u); r != nil && r.Check != nil {
		check = *r.Check
	}
	u.SetAttribute(meta.Check, check)
}
