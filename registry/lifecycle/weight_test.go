// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strconv"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/internal/conf"
)

// TestPublishedWeight: what each level publishes, by register.publish-weight and
// the user's own weight; dubbo-go writes 0 where the user set none. The times are
// in ms under our names and under Java's.
func TestPublishedWeight(t *testing.T) {
	born := birth{start: time.UnixMilli(1_790_000_000_123), window: 90 * time.Second}
	times := map[string]string{
		"StartTime": "1790000000123", "timestamp": "1790000000123",
		"WarmupTime": "90000", "warmup": "90000",
	}
	for _, tc := range []struct {
		publish, own string
		atInterface  string
		atInstance   int64
	}{
		{"auto", "", "", 100},
		{"auto", "0", "0", 100}, // beside plain pods with 0 any other would get everything
		{"auto", "-5", "-5", 100},
		{"auto", "30", "30", 30},
		{"250", "", "250", 250},
		{"250", "0", "250", 250},
		{"250", "30", "250", 250},
		{"1", "30", "1", 1},
		{"10000", "0", "10000", 10000},
	} {
		u := common.NewURLWithOptions(common.WithProtocol("tri"), common.WithIp("127.0.0.1"), common.WithPort("20000"),
			common.WithPath("shop.Order"), common.WithInterface("shop.Order"))
		if tc.own != "" {
			u.SetParam(constant.WeightKey, tc.own)
		}
		c := conf.Default()
		c.Register.PublishWeight = tc.publish

		atInterface := u.Clone()
		decorateURL(atInterface, born, c.Register)
		if got := atInterface.GetParam(constant.WeightKey, ""); got != tc.atInterface {
			t.Errorf("publish-weight %s, own %q: interface level publishes %q, want %q", tc.publish, tc.own, got, tc.atInterface)
		}
		for k, want := range times {
			if got := atInterface.GetParam(k, ""); got != want {
				t.Errorf("interface level: %s = %q, want %q", k, got, want)
			}
		}

		services := info.NewMetadataInfo("order", "")
		services.AddService(u)
		instance := &registry.DefaultServiceInstance{Metadata: map[string]string{}, ServiceMetadata: services}
		m := newManager(shutdown.NewGate("0123456789abcdef"), func() *conf.Config { return &c })
		m.birth = born
		customizer{m}.Customize(instance)
		// The weight of the instance is what Go and the Nacos console read; Java reads
		// the metadata, and wants a number.
		if want := strconv.FormatInt(tc.atInstance, 10); instance.Weight != tc.atInstance || instance.Metadata[constant.WeightKey] != want {
			t.Errorf("publish-weight %s, own %q: the instance weighs %d and publishes %q, want %s", tc.publish, tc.own, instance.Weight, instance.Metadata[constant.WeightKey], want)
		}
		for k, want := range times {
			if got := instance.Metadata[k]; got != want {
				t.Errorf("application level: %s = %q, want %q", k, got, want)
			}
		}
	}
}
