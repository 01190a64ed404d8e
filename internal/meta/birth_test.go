// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"testing"
	"time"
)

func TestBirth(t *testing.T) {
	ms := func(n int64) time.Time { return time.UnixMilli(n) }
	for _, tc := range []struct {
		name   string
		in     map[string]string
		start  time.Time
		window time.Duration
	}{
		{"nothing", nil, time.Time{}, 0},
		{"graylane", map[string]string{"StartTime": "1790000000123", "WarmupTime": "120000", "timestamp": "5"}, ms(1790000000123), 2 * time.Minute},
		{"graylane without window", map[string]string{"StartTime": "1790000000123"}, ms(1790000000123), 0},
		{"java", map[string]string{"timestamp": "1790000000123", "warmup": "60000", "release": "3.3.6"}, ms(1790000000123), time.Minute},
		{"java default", map[string]string{"timestamp": "1790000000123", "release": "3.3.6"}, ms(1790000000123), 10 * time.Minute},
		{"go seconds", map[string]string{"timestamp": "1790000000", "warmup": "600", "release": "dubbo-golang-3.3.2"}, time.Unix(1790000000, 0), 10 * time.Minute},
		{"go duration", map[string]string{"timestamp": "1790000000", "warmup": "20s", "release": "dubbo-golang-3.3.2"}, time.Unix(1790000000, 0), 20 * time.Second},
		{"go without window", map[string]string{"timestamp": "1790000000", "release": "dubbo-golang-3.3.2"}, time.Unix(1790000000, 0), 0},
		{"go ms", map[string]string{"timestamp": "1790000000123", "release": "dubbo-golang-3.3.2"}, ms(1790000000123), 0},
		{"edge: 1e11 is seconds", map[string]string{"timestamp": "100000000000", "warmup": "1"}, time.Unix(1e11, 0), time.Second},
		{"edge: 1e11+1 is ms", map[string]string{"timestamp": "100000000001", "warmup": "1"}, ms(1e11 + 1), time.Millisecond},
		{"hostile", map[string]string{"StartTime": "-1", "timestamp": "9223372036854775808", "warmup": "x"}, time.Time{}, 0},
		{"bad window", map[string]string{"timestamp": "1790000000", "warmup": "-5s"}, time.Unix(1790000000, 0), 0},
	} {
		start, window := Birth(func(k string) string { return tc.in[k] })
		if !start.Equal(tc.start) || window != tc.window {
			t.Errorf("%s: got %v, %v; want %v, %v", tc.name, start, window, tc.start, tc.window)
		}
	}
}

func TestWeight(t *testing.T) {
	for _, tc := range []struct {
		published, registry string
		want                float64
	}{
		{"", "", 100},
		{"0", "", 100},
		{"-1", "", 100},
		{"x", "", 100},
		{"1", "", 1},
		{"250", "", 250},
		{"9223372036854775808", "", 100},
		{"100", "0", 0},
		{"100", "30", 30},
		{"0", "30", 30},
		{"100", "-1", 100},
		{"100", "x", 100},
		{"100", "0.4", 0.4},
		{"100", "NaN", 100},
		{"100", "Inf", 1e9},
		{"100", "1e300", 1e9},
	} {
		get := func(key string) string {
			return map[string]string{"weight": tc.published, RegistryWeight: tc.registry}[key]
		}
		if got := Weight(get); got != tc.want {
			t.Errorf("published %q, at the registry %q: %v, want %v", tc.published, tc.registry, got, tc.want)
		}
	}
}
