// SPDX-License-Identifier: Apache-2.0

package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOneDashWillDo(t *testing.T) {
	got := longFlags([]string{"-rate", "50", "-json", "--full", "-h", "-registry=rig:nacos"})
	if want := []string{"--rate", "50", "--json", "--full", "-h", "--registry=rig:nacos"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptions(t *testing.T) {
	good := options{rate: 200, timeout: time.Second, registry: "embedded", level: "application"}
	for _, tc := range []struct {
		name   string
		change func(*options)
		want   string // of the error, "" for none
	}{
		{"default", func(*options) {}, ""},
		{"etcd", func(o *options) { o.registry = "etcd://127.0.0.1:2379" }, ""},
		{"nacos", func(o *options) { o.registry = "nacos://[::1]:8848" }, ""},
		{"zookeeper", func(o *options) { o.registry = "zookeeper://127.0.0.1:2181" }, ""},
		{"Nacos rig", func(o *options) { o.registry = "rig:nacos" }, ""},
		{"ZooKeeper rig", func(o *options) { o.registry = "rig:zookeeper" }, ""},
		{"unknown rig", func(o *options) { o.registry = "rig:etcd" }, `-registry: got "rig:etcd"`},
		{"interface level", func(o *options) { o.level = "interface" }, ""},
		{"slowest", func(o *options) { o.rate = minRate }, ""},
		{"too slow", func(o *options) { o.rate = minRate - 1 }, "-rate: got 9, want 10 to 5000"},
		{"fastest", func(o *options) { o.rate = maxRate }, ""},
		{"too fast", func(o *options) { o.rate = maxRate + 1 }, "-rate: got 5001"},
		{"no timeout", func(o *options) { o.timeout = 0 }, "-timeout: got 0s, want 100ms to 1m0s"},
		{"level", func(o *options) { o.level = "service" }, `-level: got "service", want interface or application`},
		{"unknown registry", func(o *options) { o.registry = "consul://a:1" }, `-registry: got "consul://a:1"`},
		{"no port", func(o *options) { o.registry = "etcd://host" }, `-registry: got "etcd://host"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := good
			tc.change(&o)
			err := o.check()
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

func TestParseRegistry(t *testing.T) {
	for scheme, want := range map[string]string{"etcd": "etcdv3", "nacos": "nacos", "zookeeper": "zookeeper"} {
		protocol, address, err := parseRegistry(scheme + "://127.0.0.1:2379")
		if protocol != want || address != "127.0.0.1:2379" || err != nil {
			t.Errorf("%s: got %q, %q, %v", scheme, protocol, address, err)
		}
	}
}
