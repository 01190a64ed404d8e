// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are lines of Go benchmarks, in the order in which they were measured.
type results struct {
	lines     []line
	shares    []shareOff
	processor string
}

// shareOff is what TestShareAccuracy of loadbalance/warmup logs.
type shareOff struct {
	what   string
	points float64
}

var shareLine = regexp.MustCompile(`^\s+\S+\.go:\d+: (.+): at most (\d+\.\d+) points off$`)

// line is one run: BenchmarkName/key=value/…-procs, and its figures by unit.
type line struct {
	name    string
	keys    map[string]string
	figures map[string]float64
}

// read adds the benchmark lines of a file; others are skipped.
func (r *results) read(from io.Reader) error {
	s := bufio.NewScanner(from)
	for s.Scan() {
		text := s.Text()
		if cpu, ok := strings.CutPrefix(text, "cpu: "); ok {
			r.processor = cpu
		}
		if m := shareLine.FindStringSubmatch(text); m != nil {
			points, err := strconv.ParseFloat(m[2], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			r.shares = append(r.shares, shareOff{m[1], points})
		}
		fields := strings.Fields(text)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") || len(fields)%2 != 0 {
			continue
		}
		l := line{keys: map[string]string{}, figures: map[string]float64{}}
		parts := strings.Split(strings.TrimPrefix(fields[0], "Benchmark"), "/")
		last := len(parts) - 1
		if before, procs, ok := cutLast(parts[last], "-"); ok {
			if _, err := strconv.Atoi(procs); err == nil {
				parts[last] = before
			}
		}
		l.name = parts[0]
		for _, p := range parts[1:] {
			k, v, _ := strings.Cut(p, "=")
			l.keys[k] = v
		}
		for n := 2; n < len(fields); n += 2 {
			v, err := strconv.ParseFloat(fields[n], 64)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			l.figures[fields[n+1]] = v
		}
		r.lines = append(r.lines, l)
	}
	return s.Err()
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func (r *results) cpu() string {
	if r.processor == "" {
		return "unknown processor"
	}
	return r.processor
}

// get returns the figures of a benchmark in one unit, of the lines whose keys have
// the given values ("key=value").
func (r *results) get(name, unit string, keys ...string) []float64 {
	var out []float64
	for _, l := range r.lines {
		v, ok := l.figures[unit]
		if ok && l.name == name && !slices.ContainsFunc(keys, func(k string) bool {
			key, value, _ := strings.Cut(k, "=")
			return l.keys[key] != value
		}) {
			out = append(out, v)
		}
	}
	return out
}

// values returns what a key of a benchmark is set to, in order of appearance.
func (r *results) values(name, key string) []string {
	var out []string
	for _, l := range r.lines {
		if v, ok := l.keys[key]; ok && l.name == name && !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	return out
}
