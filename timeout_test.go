// SPDX-License-Identifier: Apache-2.0

package graylane

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
)

// TestReferenceTimeout: a reference gets the timeout of its own section, or the
// consumer's (10s), never that of another reference to the same interface. Each
// case runs often, because Go walks maps in random order.
func TestReferenceTimeout(t *testing.T) {
	type sections = map[string]*global.ReferenceConfig
	const order = "com.shop.Order"
	two := sections{
		"OrderV1": {InterfaceName: order, Version: "1", RequestTimeout: "1s"},
		"OrderV2": {InterfaceName: order, Version: "2", RequestTimeout: "2s"},
	}
	groups := sections{
		"east":  {InterfaceName: order, Group: "east", Version: "1", RequestTimeout: "1s"},
		"west":  {InterfaceName: order, Group: "west", Version: "1", RequestTimeout: "2s"},
		"plain": {InterfaceName: order, RequestTimeout: "3s"},
	}
	for _, tc := range []struct {
		name               string
		all                sections
		id, group, version string
		want               string
	}{
		{"version", two, order, "", "2", "2s"},
		{"name", two, "OrderV2", "", "", "2s"},
		{"name and version", two, "OrderV2", "", "2", "2s"},
		{"version before name", two, "OrderV1", "", "2", "2s"},
		{"neither", two, order, "", "", "10s"},
		{"another version", two, order, "", "3", "10s"},
		{"group", groups, order, "west", "1", "2s"},
		{"no group, no version", groups, order, "", "", "3s"},
		{"a group that no section says", groups, order, "north", "1", "3s"},
		{"two say the same", sections{
			"one":   {InterfaceName: order, Version: "1", RequestTimeout: "1s"},
			"other": {InterfaceName: order, Version: "1", RequestTimeout: "2s"},
		}, order, "", "1", "10s"},
		{"two say the same, one has the name", sections{
			"one":   {InterfaceName: order, Version: "1", RequestTimeout: "1s"},
			"other": {InterfaceName: order, Version: "1", RequestTimeout: "2s"},
		}, "other", "", "1", "2s"},
		{"the only one, version set in code", sections{"o": {InterfaceName: order, RequestTimeout: "1s"}}, order, "", "2", "1s"},
		{"the only one, with the application's version", sections{"o": {InterfaceName: order, Version: "app", RequestTimeout: "1s"}}, order, "", "2", "1s"},
		{"named as the interface, for another version", sections{order: {Version: "1", RequestTimeout: "1s"}}, order, "", "2", "10s"},
		{"named as the interface, beside the version's own", sections{
			order: {RequestTimeout: "1s"}, "OrderV2": {InterfaceName: order, Version: "2", RequestTimeout: "2s"},
		}, order, "", "2", "2s"},
		{"named as the type", sections{"OrderImpl": {RequestTimeout: "1s"}}, order, "", "", "1s"},
		{"two that may be the type", sections{"OrderImpl": {RequestTimeout: "1s"}, "Order": {RequestTimeout: "2s"}}, order, "", "", "10s"},
		{"the name of another interface's section", sections{"Mine": {InterfaceName: "com.shop.Cart", RequestTimeout: "1s"}}, "Mine", "", "", "10s"},
		{"an empty section", sections{order: nil}, order, "", "", "10s"},
		{"no sections", nil, order, "", "", "10s"},
	} {
		for range 50 {
			u := withParams(constant.BeanNameKey, tc.id, constant.GroupKey, tc.group, constant.VersionKey, tc.version, constant.TimeoutKey, "10s")
			common.WithAttribute(constant.ConsumerConfigKey, &global.ConsumerConfig{References: tc.all})(u)
			common.WithAttribute(constant.ApplicationKey, &global.ApplicationConfig{Version: "app"})(u)
			setTimeout(u)
			if got := u.GetParam(constant.TimeoutKey, ""); got != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, got, tc.want)
				break
			}
		}
	}
}
