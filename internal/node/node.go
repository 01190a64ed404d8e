// SPDX-License-Identifier: Apache-2.0

// Package node knows how dubbo-go (v3.3.2) and Dubbo Java write URLs into registries
// that are trees, etcd and ZooKeeper, at interface level:
//
//	/<registry group, default dubbo>/<service>/providers/<escaped URL>
//	/<registry group, default dubbo>/<service>/consumers/<escaped URL>
package node

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// folder returns the path of a service's category with "/" at the end.
func folder(group, service, category string) string {
	dir := fmt.Sprintf("/%s/%s/%s/", group, url.QueryEscape(service), category)
	return strings.ReplaceAll(dir, "$", "%24")
}

// Group returns the group of a registry's URL.
func Group(registryURL *common.URL) string {
	return registryURL.GetParam(constant.RegistryGroupKey, "dubbo")
}

// Path returns where dubbo-go v3.3.2 writes u (registry.BaseRegistry.processURL).
func Path(group string, u *common.URL) (string, error) {
	params := url.Values{}
	u.RangeParams(func(key, value string) bool {
		params.Set(key, value)
		return true
	})
	role, err := strconv.Atoi(u.GetParam(constant.RegistryRoleKey, strconv.Itoa(common.CONSUMER)))
	switch {
	case err == nil && role == common.PROVIDER:
		if u.Path == "" || len(u.Methods) == 0 {
			return "", fmt.Errorf("register %s: got path %q and methods %v, want both", u.Key(), u.Path, u.Methods)
		}
		return folder(group, u.Service(), common.DubboNodes[common.PROVIDER]) + providerNode(u, params), nil
	case err == nil && role == common.CONSUMER:
		return folder(group, u.Service(), common.DubboNodes[common.CONSUMER]) + consumerNode(u, params), nil
	default:
		return "", fmt.Errorf("register %s: %s: got %q, want %d (consumer) or %d (provider)", u.Key(),
			constant.RegistryRoleKey, u.GetParam(constant.RegistryRoleKey, ""), common.CONSUMER, common.PROVIDER)
	}
}

func providerNode(u *common.URL, params url.Values) string {
	params.Add(constant.AnyhostKey, "true")
	params.Add(constant.MethodsKey, strings.Join(u.Methods, ","))
	for key, values := range params {
		if len(values) > 0 && values[0] == "" {
			params.Del(key)
		}
	}
	host := u.Ip
	if host == "" {
		host = common.GetLocalIp()
	}
	query, _ := url.QueryUnescape(params.Encode()) // Encode's own output always unescapes
	return url.QueryEscape(fmt.Sprintf("%s://%s:%s%s?%s", u.Protocol, host, u.Port, u.Path, query))
}

func consumerNode(u *common.URL, params url.Values) string {
	params.Add("protocol", u.Protocol)
	query, _ := url.QueryUnescape(params.Encode()) // Encode's own output always unescapes
	return url.QueryEscape(fmt.Sprintf("consumer://%s%s?%s", common.GetLocalIp(), u.Path, query))
}

// Subscription says what a consumer's URL asks for.
type Subscription struct {
	// Folders are where to look, each with "/" at the end.
	Folders []string

	protocol        string
	service         string
	groups, version string
}

// NewSubscription returns what u asks for in a registry of the group.
func NewSubscription(group string, u *common.URL) Subscription {
	s := Subscription{
		protocol: u.Protocol,
		service:  u.Service(),
		groups:   u.GetParam(constant.GroupKey, ""),
		version:  u.GetParam(constant.VersionKey, ""),
	}
	categories := u.GetParam(constant.CategoryKey, constant.DefaultCategory)
	if categories == constant.AnyValue {
		categories = constant.DefaultCategory
	}
	for category := range strings.SplitSeq(categories, ",") {
		if category = strings.TrimSpace(category); category != "" && !strings.HasPrefix(category, constant.RemoveValuePrefix) {
			s.Folders = append(s.Folders, folder(group, s.service, category))
		}
	}
	return s
}

// Matches reports whether the consumer wants the URL found in its folder: same
// service, protocol (unless the consumer names none), version and group, and not
// disabled. Group takes "*" and lists, version "*".
func (s Subscription) Matches(found *common.URL) bool {
	if found.Service() != s.service {
		return false
	}
	if enabled := found.GetParam(constant.EnabledKey, "true"); enabled != "true" && enabled != constant.AnyValue {
		return false
	}
	if s.protocol != "" && s.protocol != common.DubboRole[common.CONSUMER] && found.Protocol != s.protocol &&
		found.GetParam(constant.CategoryKey, constant.DefaultCategory) == constant.DefaultCategory {
		return false
	}
	group := found.GetParam(constant.GroupKey, "")
	if s.groups != constant.AnyValue && !slices.Contains(strings.Split(s.groups, ","), group) {
		return false
	}
	return s.version == constant.AnyValue || s.version == found.GetParam(constant.VersionKey, "")
}
