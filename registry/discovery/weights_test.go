// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/cluster/loadbalance"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

// TestWeightForForeignBalancers: dubbo-go's balancers, which read the merged URL,
// see the weight that ours sees, for providers of every kind, at every age: their
// own warm-up is never applied beside ours.
func TestWeightForForeignBalancers(t *testing.T) {
	began := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of a bubble
	seconds, millis := strconv.FormatInt(began.Unix()-1, 10), strconv.FormatInt(began.UnixMilli()-1000, 10)
	for _, tc := range []struct {
		name   string
		params string
		want   float64
	}{
		{"plain Go at interface level", "timestamp=" + seconds + "&weight=0&release=dubbo-golang-3.3.2", 100},
		{"plain Go with a window", "timestamp=" + seconds + "&weight=40&warmup=600&release=dubbo-golang-3.3.2", 40},
		{"plain Go with settings of a method", "timestamp=" + seconds + "&weight=40&methods.Get.weight=0&methods.Put.weight=0", 40},
		{"Java", "timestamp=" + millis + "&warmup=600000&release=3.3.6", 100},
		{"Java with a weight", "timestamp=" + millis + "&weight=250&release=3.3.6", 250},
		{"Graylane", tag.MetaStartTime + "=" + millis + "&" + tag.MetaWarmupTime + "=600000&timestamp=" + millis + "&warmup=600000&weight=7", 7},
		{"no timestamp at all", "weight=30&warmup=600", 30},
		{"a remote.timestamp from outside", "remote.timestamp=" + seconds + "&warmup=600&weight=80", 80},
		{"more than counts", "weight=9223372036854775807&methods.Get.weight=9223372036854775807", meta.MaxWeight},
		{"a negative weight", "weight=-3", 100},
		{"no number", "weight=heavy", 100},
	} {
		bubble(t, func(t *testing.T, d *Directory) { //nolint:thelper // the function run in a bubble is the test itself
			d.ref.SetParam(constant.TimestampKey, seconds) // as each consumer has
			u, err := common.NewURL("fakep://127.0.0.1:1/" + service + "?interface=" + service + "&application=order&" + tc.params)
			if err != nil {
				t.Fatal(err)
			}
			d.all(u)
			e := d.Endpoints()[0]
			inv := invocation.NewRPCInvocation("Get", nil, nil)
			for range 5 { // 0 s, 1 s, 1 min, 5 min, 1 h of age and more
				if got := loadbalance.GetWeight(e.Invoker, inv); float64(got) != tc.want || e.Weight != tc.want {
					t.Errorf("%s, at %v: dubbo-go's balancers see %d, ours %v, want %v", tc.name, time.Since(began), got, e.Weight, tc.want)
				}
				time.Sleep(max(time.Since(began)*5, time.Second))
			}
			// A new weight of a provider that stays.
			u = u.Clone()
			u.SetParam(constant.WeightKey, "55")
			d.all(u)
			synctest.Wait()
			e = d.Endpoints()[0]
			if got := loadbalance.GetWeight(e.Invoker, inv); got != 55 || e.Weight != 55 {
				t.Errorf("%s: after a change dubbo-go's balancers see %d, ours %v, want 55", tc.name, got, e.Weight)
			}
		})
	}
}

// TestWeightOfAnInstance: the same from application level, where dubbo-go makes the
// URL of a provider from its metadata and forces the instance's weight into it. On
// Nacos the instance's weight is what the console says: it wins, and 0 drains.
func TestWeightOfAnInstance(t *testing.T) {
	for _, tc := range []struct {
		name     string
		registry string
		instance int64
		metadata string
		want     float64
	}{
		{"plain Go", "etcdv3", 0, "", 100},
		{"a registry that loses weights", "zookeeper", 0, "30", 30},
		{"Graylane", "etcdv3", 30, "30", 30},
		{"the instance's only", "etcdv3", 30, "", 30},
		{"bad metadata", "etcdv3", 30, "x", 100},
		{"Graylane", "nacos", 30, "30", 30},
		{"Graylane of weight 1", "nacos", 1, "1", 1},
		{"plain Go", "nacos", 100, "", 100},
		{"Java, which sets none", "nacos", 1, "", 100},
		{"changed in the console", "nacos", 40, "100", 40},
		{"plain Go, changed in the console", "nacos", 40, "", 40},
		{"drained in the console", "nacos", 0, "100", 0},
		{"Java, drained in the console", "nacos", 0, "", 0},
	} {
		i := plain(func(i *registry.DefaultServiceInstance) {
			i.Weight = tc.instance
			if tc.metadata != "" {
				i.Metadata[constant.WeightKey] = tc.metadata
			}
		})
		list := weighed(wrap([]registry.ServiceInstance{i}), tc.registry+"|127.0.0.1:8848|||")
		urls := list[0].ToURLs(info.NewServiceInfo(service, "", "", constant.TriProtocol, service, map[string]string{"methods": "Get", constant.WeightKey: "0"}))
		if len(urls) != 1 {
			t.Fatalf("%s: %d URLs", tc.name, len(urls))
		}
		if got := meta.Weight(func(key string) string { return urls[0].GetParam(key, "") }); got != tc.want {
			t.Errorf("%s on %s: weight %v, want %v", tc.name, tc.registry, got, tc.want)
		}
	}
}
