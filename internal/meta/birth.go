// SPDX-License-Identifier: Apache-2.0

// Package meta reads what providers of every kind publish about themselves.
package meta

import (
	"strconv"
	"strings"
	"time"
)

// The keys, in the order in which [Birth] believes them.
const (
	startTime  = "StartTime"  // Unix ms; Graylane
	warmupTime = "WarmupTime" // ms; Graylane
	timestamp  = "timestamp"  // Unix ms (Java), or s up to 1e11 (Go)
	warmup     = "warmup"     // ms (Java), s or a duration string (Go)
	release    = "release"    // "dubbo-golang-…" for Go
)

// javaWarmup is Dubbo Java's default window (Constants.DEFAULT_WARMUP).
const javaWarmup = 10 * time.Minute

// Birth returns when an instance became ready, by its own clock, and its warm-up
// window, from its metadata or URL parameters. A zero time or window means warm:
// no time is known, or a Go provider without Graylane set no window.
func Birth(get func(key string) string) (start time.Time, window time.Duration) {
	if ms, ok := number(get(startTime)); ok {
		w, _ := number(get(warmupTime))
		return time.UnixMilli(ms), time.Duration(w) * time.Millisecond
	}
	ts, ok := number(get(timestamp))
	if !ok {
		return time.Time{}, 0
	}
	golang := strings.HasPrefix(get(release), "dubbo-golang")
	if start = time.UnixMilli(ts); ts <= 1e11 {
		start = time.Unix(ts, 0)
		golang = true
	}
	text := get(warmup)
	n, isNumber := number(text)
	switch {
	case text == "" && !golang:
		return start, javaWarmup
	case isNumber && golang:
		return start, time.Duration(n) * time.Second
	case isNumber:
		return start, time.Duration(n) * time.Millisecond
	}
	window, _ = time.ParseDuration(text) // "20s", as dubbo-go's WithServerWarmup writes it
	return start, max(window, 0)
}

// number accepts what fits a time: positive and below 2^53.
func number(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n > 0 && n < 1<<53
}
