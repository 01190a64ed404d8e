// SPDX-License-Identifier: Apache-2.0

package node

import (
	"strconv"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

func providerURL(service string, port int, params ...string) *common.URL {
	return urlOf(service, params, common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)), common.WithMethods([]string{"Get"}),
		common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER)))
}

func consumerURL(service string, params ...string) *common.URL { return urlOf(service, params) }

func urlOf(service string, params []string, opts ...common.Option) *common.URL {
	opts = append(opts, common.WithProtocol("tri"), common.WithPath("/"+service), common.WithParamsValue(constant.InterfaceKey, service))
	for i := 0; i < len(params); i += 2 {
		opts = append(opts, common.WithParamsValue(params[i], params[i+1]))
	}
	return common.NewURLWithOptions(opts...)
}

func TestMatches(t *testing.T) {
	provider := func(params ...string) *common.URL { return providerURL("com.shop.M", 1, params...) }
	for _, tc := range []struct {
		name     string
		consumer *common.URL
		provider *common.URL
		want     bool
	}{
		{"same", consumerURL("com.shop.M"), provider(), true},
		{"other service", consumerURL("com.shop.N"), provider(), false},
		{"group", consumerURL("com.shop.M", "group", "g"), provider("group", "g"), true},
		{"other group", consumerURL("com.shop.M", "group", "g"), provider("group", "h"), false},
		{"no group asked", consumerURL("com.shop.M"), provider("group", "h"), false},
		{"any group", consumerURL("com.shop.M", "group", "*"), provider("group", "h"), true},
		{"one of two groups", consumerURL("com.shop.M", "group", "g,h"), provider("group", "h"), true},
		{"version", consumerURL("com.shop.M", "version", "1"), provider("version", "1"), true},
		{"other version", consumerURL("com.shop.M", "version", "1"), provider("version", "2"), false},
		{"any version", consumerURL("com.shop.M", "version", "*"), provider("version", "2"), true},
		{"disabled", consumerURL("com.shop.M"), provider("enabled", "false"), false},
		{"other protocol", consumerURL("com.shop.M"), common.NewURLWithOptions(common.WithProtocol("dubbo"),
			common.WithParamsValue("interface", "com.shop.M")), false},
		{"any protocol", common.NewURLWithOptions(common.WithParamsValue("interface", "com.shop.M")), provider(), true},
	} {
		if got := NewSubscription("dubbo", tc.consumer).Matches(tc.provider); got != tc.want {
			t.Errorf("%s: got %v, want %v", tc.name, got, tc.want)
		}
	}
}

// What Path writes is held against dubbo-go's own in registry/etcd; here what it refuses.
func TestPathRefuses(t *testing.T) {
	for name, u := range map[string]*common.URL{
		"a provider without methods": common.NewURLWithOptions(common.WithPath("/com.shop.M"), common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER))),
		"a provider without a path":  common.NewURLWithOptions(common.WithMethods([]string{"Get"}), common.WithParamsValue(constant.RegistryRoleKey, strconv.Itoa(common.PROVIDER))),
		"a role of its own":          providerURL("com.shop.M", 1, constant.RegistryRoleKey, "9"),
	} {
		if path, err := Path("dubbo", u); err == nil {
			t.Errorf("%s: got %s, want an error", name, path)
		}
	}
}
