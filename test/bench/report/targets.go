// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// row is one line of the report.
type row struct {
	what, target, measured string
	met                    bool
	unsure                 bool // neither that it is met nor that it is missed is shown
	missing                bool // not measured in this run
}

func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| what | target | measured | met |\n| --- | --- | --- | --- |\n")
	for _, r := range rows {
		met := "no"
		switch {
		case r.missing:
			met = "not measured"
		case r.unsure:
			met = "not shown"
		case r.met:
			met = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.what, r.target, r.measured, met)
	}
	return b.String()
}

// rows are the targets, each with what was measured.
func rows(r *results) []row {
	out := []row{pick(r), routePick(r)}
	out = append(out, call(r, "graylane", "floor", 500, 3), flatness(r), call(r, "routers", "graylane", 300, 0))
	out = append(out, push(r), memory(r), rules(r))
	for _, protocol := range []string{"tri", "dubbo"} {
		for _, c := range []struct {
			n     string
			least float64
		}{{"3", 0.97}, {"300", 1}} {
			out = append(out, loopback(r, protocol, c.n, c.least))
		}
	}
	return append(out, share(r))
}

// bySize writes one figure for each n: "10: 12 · 100: 13".
func bySize(sizes []string, figure func(n string) string) string {
	parts := make([]string, 0, len(sizes))
	for _, n := range sizes {
		parts = append(parts, n+": "+figure(n))
	}
	return strings.Join(parts, " · ")
}

// choice is a row for a choice that is compared with Kitex's alias picker: met if
// at each n it is within the bound in ns, or within the share of Kitex's.
func choice(r *results, name, what, target string, bound, share, flat float64, keys ...string) row {
	sizes := r.values(name, "n")
	out := row{what: what, target: target, met: true}
	var medians []float64
	allocs := 0.0
	out.measured = bySize(sizes, func(n string) string {
		at := append([]string{"n=" + n}, keys...)
		ours := r.get(name, "ns/op", append(at, "side=graylane")...)
		kitex := r.get(name, "ns/op", append(at, "side=kitex-alias")...)
		if len(ours) == 0 || len(kitex) == 0 {
			out.missing = true
			return "?"
		}
		a, k := median(ours), median(kitex)
		medians = append(medians, a)
		out.met = out.met && (a <= bound || a <= share*k)
		allocs = max(allocs, slices.Max(r.get(name, "allocs/op", append(at, "side=graylane")...)))
		return fmt.Sprintf("%.1f ns (Kitex %.1f)", a, k)
	})
	if len(medians) == 0 {
		return row{what: what, target: target, missing: true}
	}
	spread := slices.Max(medians) / slices.Min(medians)
	out.measured += fmt.Sprintf("; largest / smallest %.2f; %.0f allocations", spread, allocs)
	out.met = out.met && allocs == 0 && (flat == 0 || spread <= flat)
	return out
}

func pick(r *results) row {
	return choice(r, "Pick", "pick alone (pool given), n = 10 … 10,000",
		"at most 25 ns, or 0.7 of Kitex v0.15.4's alias picker; 0 allocations; flat within 1.5", 25, 0.7, 1.5, "state=warm")
}

func routePick(r *results) row {
	return choice(r, "RoutePick", "route + pick from an invocation, tag set, n = 10 … 10,000",
		"at most 75 ns, or twice Kitex's alias picker; 0 allocations", 75, 2, 0)
}

// call is a row for what one variant of a call costs beyond another: met if the whole
// interval is within the bound at each n, missed if at any n all of it is beyond, and
// else nothing is shown. The allocations, which do not vary, must be within theirs.
func call(r *results, variant, base string, bound, allocs float64) row {
	out := row{
		what: "framework cost per call, n = 1 … 10,000", met: true,
		target: fmt.Sprintf("at most floor + %.1f µs and + %.0f allocations", bound/1000, allocs),
	}
	if base != "floor" {
		out.what, out.target = "the same with all of dubbo-go's routers imported and no rule", fmt.Sprintf("+ %.1f µs", bound/1000)
	}
	more, missed := 0.0, false
	sizes := r.values("Call", "n")
	out.measured = bySize(sizes, func(n string) string {
		figures := func(v, unit string) []float64 { return r.get("Call", unit, "n="+n, "variant="+v) }
		ours, theirs := figures(variant, "ns/op"), figures(base, "ns/op")
		if len(ours) < 2 || len(theirs) < 2 {
			out.missing = true
			return "?"
		}
		d := difference95(ours, theirs)
		out.met = out.met && d.high <= bound
		missed = missed || d.low > bound
		more = max(more, median(figures(variant, "allocs/op"))-median(figures(base, "allocs/op")))
		return fmt.Sprintf("%+.2f µs (%.2f to %.2f)", d.mean/1000, d.low/1000, d.high/1000)
	})
	if len(sizes) == 0 {
		return row{what: out.what, target: out.target, missing: true}
	}
	out.measured += fmt.Sprintf("; %+.0f allocations", more)
	missed = missed || base == "floor" && more > allocs
	out.unsure = !out.met && !missed
	out.met = out.met && !missed
	return out
}

func flatness(r *results) row {
	out := row{what: "flatness of that cost: largest / smallest median over n", target: "at most the floor's × 1.15"}
	spread := func(variant string) float64 {
		var medians []float64
		for _, n := range r.values("Call", "n") {
			if v := r.get("Call", "ns/op", "n="+n, "variant="+variant); len(v) > 0 {
				medians = append(medians, median(v))
			}
		}
		if len(medians) == 0 {
			return 0
		}
		return slices.Max(medians) / slices.Min(medians)
	}
	ours, floor := spread("graylane"), spread("floor")
	if ours == 0 || floor == 0 {
		out.missing = true
		return out
	}
	out.measured = fmt.Sprintf("%.2f, floor %.2f", ours, floor)
	out.met = ours <= 1.15*floor
	return out
}

// largest is the name of the largest n of a benchmark.
const largest = "n=10000"

func push(r *results) row {
	out := row{what: "push of 10,000 endpoints, 1 % changed, until the new snapshot", target: "at most 10 ms of our own"}
	own, whole, dubbo := r.get("Push", "own-ns", largest), r.get("Push", "ns/op", largest), r.get("Push", "dubbo-ns", largest)
	if len(own) == 0 || len(whole) == 0 || len(dubbo) == 0 {
		out.missing = true
		return out
	}
	out.measured = fmt.Sprintf("%.1f ms: %.1f ms in all, without the %.1f ms that dubbo-go takes to make the new invokers", median(own)/1e6, median(whole)/1e6, median(dubbo)/1e6)
	if listed := r.get("Push", "listed-ns", largest); len(listed) > 0 {
		out.measured += fmt.Sprintf("; the list read and published after %.1f ms", median(listed)/1e6)
	}
	out.met = median(own) <= 10e6
	return out
}

func memory(r *results) row {
	out := row{what: "memory of our own per endpoint, 10,000 endpoints", target: "at most 1 KiB"}
	v := r.get("Push", "own-B/endpoint", largest)
	if len(v) == 0 {
		out.missing = true
		return out
	}
	out.measured = fmt.Sprintf("%.0f B", median(v))
	out.met = median(v) <= 1024
	return out
}

func rules(r *results) row {
	out := row{what: "rule change over 10,000 endpoints, until the new snapshot", target: "at most 10 ms; no call waits"}
	v := r.get("RuleChange", "ns/op", largest)
	quiet, busy := r.get("RuleChange", "quiet-p99.9-ns", largest), r.get("RuleChange", "p99.9-ns", largest)
	if len(v) == 0 || len(quiet) == 0 || len(busy) == 0 {
		out.missing = true
		return out
	}
	out.measured = fmt.Sprintf("%.1f ms; p99.9 of a call's choice %.1f µs while rules change, %.1f µs while they do not", median(v)/1e6, median(busy)/1000, median(quiet)/1000)
	out.met = median(v) <= 10e6 && median(busy) < 1e6 // a call that waited would wait for milliseconds
	return out
}

// loopback is a row of real calls: met if the lower ends of all three intervals
// are above the bound.
func loopback(r *results, protocol, n string, least float64) row {
	above := "at least"
	if least == 1 {
		above = "above"
	}
	out := row{
		what:   fmt.Sprintf("calls over loopback, %s, %s providers: Graylane beside plain dubbo-go", protocol, n),
		target: fmt.Sprintf("lower end of the 95 %% interval %s %v", above, least), met: true,
	}
	of := func(side, unit string) []float64 {
		return r.get("Calls", unit, "protocol="+protocol, "n="+n, "side="+side)
	}
	var parts []string
	for _, c := range []struct {
		name, unit string
		lower      bool // is better
	}{{"throughput", "calls/s", false}, {"p50", "p50-ns", true}, {"p99", "p99-ns", true}} {
		ours, theirs := of("graylane", c.unit), of("plain", c.unit)
		if len(ours) < 2 || len(theirs) < 2 {
			out.missing = true
			return out
		}
		in := ratio95(ours, theirs)
		if c.lower {
			in = ratio95(theirs, ours)
		}
		out.met = out.met && (in.low > least || least < 1 && in.low == least)
		parts = append(parts, fmt.Sprintf("%s %.3f (%.3f to %.3f)", c.name, in.mean, in.low, in.high))
	}
	out.measured = strings.Join(parts, " · ")
	return out
}

// share is the row of the balancer's accuracy, of which its test tells.
func share(r *results) row {
	out := row{
		what: "warm-up share, 10 instances, 10 slices, 1,000,000 picks a slice, fixed seed", target: "at most 0.3 points off",
		missing: true, met: true,
	}
	parts := make([]string, 0, len(r.shares))
	for _, s := range r.shares {
		parts = append(parts, fmt.Sprintf("%s: %.3f points", s.what, s.points))
		out.missing = false
		out.met = out.met && s.points <= 0.3
	}
	out.measured = strings.Join(parts, " · ")
	return out
}
