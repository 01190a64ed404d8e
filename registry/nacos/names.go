// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/gost/log/logger"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/meta"
)

// The interface level has one service of Nacos per category, interface, version and
// group, "providers:com.shop.Order:1.0:blue", where version and group may be empty.
// Its instances carry the URL's parameters as metadata.

const separator = constant.NacosServiceNameSeparator

func categoryOf(u *common.URL) string {
	role, err := strconv.Atoi(u.GetParam(constant.RegistryRoleKey, strconv.Itoa(constant.NacosDefaultRoleType)))
	if err != nil || role < 0 || role >= len(common.DubboNodes) {
		role = common.CONSUMER // as dubbo-go, which reads what is no number as 0
	}
	return common.DubboNodes[role]
}

func serviceName(category, service, version, group string) string {
	return strings.Join([]string{category, service, strings.TrimSpace(version), strings.TrimSpace(group)}, separator)
}

// registration returns the service name and the instance that dubbo-go v3.3.2
// writes for u (registry/nacos.createRegisterParam).
func registration(u *common.URL) (string, model.Instance, error) {
	category := categoryOf(u)
	service := u.GetParam(constant.InterfaceKey, "")
	if service == "" {
		return "", model.Instance{}, fmt.Errorf("register %s: got no %s", u.Key(), constant.InterfaceKey)
	}
	metadata := make(map[string]string)
	u.RangeParams(func(key, value string) bool {
		metadata[key] = value
		return true
	})
	metadata[constant.NacosCategoryKey] = category
	metadata[constant.NacosProtocolKey] = u.Protocol
	metadata[constant.NacosPathKey] = u.Path
	metadata[constant.MethodsKey] = strings.Join(u.Methods, ",")
	at := u.Clone()
	common.HandleRegisterIPAndPort(at)
	port, err := strconv.ParseUint(at.Port, 10, 16)
	if err != nil {
		return "", model.Instance{}, fmt.Errorf("register %s: port: got %q, want a number", u.Key(), at.Port)
	}
	name := serviceName(category, service, u.GetParam(constant.VersionKey, ""), u.GetParam(constant.GroupKey, ""))
	return name, model.Instance{
		Ip: at.Ip, Port: port, Weight: bounded(u.GetParam(constant.WeightKey, "1.0")),
		Enable: true, Healthy: true, Ephemeral: true, Metadata: metadata,
	}, nil
}

// usable reports whether an instance is to get calls at all.
func usable(host model.Instance) bool { return host.Enable && host.Healthy }

// providerURL returns the URL of an instance, of the listener's own, or nil if it is
// none: anybody can write to Nacos.
func providerURL(host model.Instance) *common.URL {
	m := host.Metadata
	path, protocol := m[constant.NacosPathKey], m[constant.NacosProtocolKey]
	if path == "" && m[constant.InterfaceKey] != "" {
		path = "/" + m[constant.InterfaceKey]
	}
	if path == "" || protocol == "" {
		logger.Warnf("[graylane] nacos: ignored %s of %s: metadata without path or protocol", place(host), host.ServiceName)
		return nil
	}
	params := url.Values{}
	for k, v := range m {
		params.Set(k, v)
	}
	params.Del(meta.RegistryWeight) // ours to say
	setWeight(host, registeredByURL(m), params.Set)
	opts := []common.Option{
		common.WithIp(host.Ip), common.WithPort(strconv.FormatUint(host.Port, 10)), common.WithProtocol(protocol),
		common.WithParams(params), common.WithPath(path),
	}
	if methods := m[constant.MethodsKey]; methods != "" {
		opts = append(opts, common.WithMethods(strings.Split(methods, ",")))
	}
	u := common.NewURLWithOptions(opts...)
	// Read from text, a URL knows which start of the process it is: dubbo-go's keys
	// need that. What the text cannot carry is set once more.
	again, err := common.NewURL(fmt.Sprintf("%s://%s%s?%s=%s", protocol, place(host), u.Path, constant.TimestampKey, m[constant.TimestampKey]), opts...)
	if err != nil {
		return u
	}
	return again
}

// wanted says which services of Nacos a consumer's URL asks for.
type wanted struct {
	categories, services, versions, groups []string
}

func wantedBy(u *common.URL) wanted {
	w := wanted{
		categories: []string{common.DubboNodes[common.PROVIDER]},
		services:   []string{u.GetParam(constant.InterfaceKey, u.Service())},
		versions:   alternatives(u.GetParam(constant.VersionKey, "")),
		groups:     alternatives(u.GetParam(constant.GroupKey, "")),
	}
	if w.services[0] == constant.AnyValue { // whoever looks at everything, an admin console say
		w.categories = alternatives(u.GetParam(constant.CategoryKey, constant.DefaultCategory))
		w.versions, w.groups = []string{constant.AnyValue}, []string{constant.AnyValue}
	}
	return w
}

func alternatives(text string) []string {
	list := strings.Split(text, ",")
	for n := range list {
		list[n] = strings.TrimSpace(list[n])
	}
	return list
}

// open reports whether the names cannot be told without asking Nacos.
func (w wanted) open() bool {
	return slices.ContainsFunc([][]string{w.categories, w.services, w.versions, w.groups},
		func(l []string) bool { return slices.Contains(l, constant.AnyValue) })
}

// names returns the names of one that is not open.
func (w wanted) names() []string {
	all := make(map[string]bool)
	for _, c := range w.categories {
		for _, s := range w.services {
			for _, v := range w.versions {
				for _, g := range w.groups {
					all[serviceName(c, s, v, g)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// matches reports whether a service of Nacos is wanted.
func (w wanted) matches(name string) bool {
	parts := strings.Split(name, separator)
	if len(parts) != 4 {
		return false
	}
	for n, list := range [][]string{w.categories, w.services, w.versions, w.groups} {
		if !slices.Contains(list, parts[n]) && !slices.Contains(list, constant.AnyValue) {
			return false
		}
	}
	return true
}
