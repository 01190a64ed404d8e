// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"math"
	"slices"
	"time"
)

// sigmas is how far a count may be from what is expected of it. All counts here are
// sums of independent draws, of hundreds and more, so that they are normal; some 60 are
// looked at in a run, and 5 sigma is left by chance once in 25,000 runs.
const sigmas = 5

// shares: four providers of equal weight, two of each kind, get a quarter of the calls
// each, from either consumer. Both choose at random, each call for itself: of 4,000
// calls 1,000 with a sigma of 27. A provider of half the weight would be at 571.
func (r *rounds) shares() {
	const calls = 4000
	n := float64(len(r.baseline))
	sigma := math.Sqrt(calls / n * (1 - 1/n))
	for _, from := range []*peer{r.fromGo, r.fromJava} {
		counts := r.count(r.load(from, "", 0, 0, calls).wait(), r.baseline...)
		for _, p := range r.baseline {
			if z := (float64(counts[p.spec.Name]) - calls/n) / sigma; math.Abs(z) > sigmas {
				r.t.Errorf("%s: %s got %d of %d calls, z = %.1f", from.spec.Name, p.spec.Name, counts[p.spec.Name], calls, z)
			}
		}
		r.t.Logf("%s: %v", from.spec.Name, counts)
	}
}

// count counts calls by who answered; it must be one of want, and none may have failed.
func (r *rounds) count(calls []call, want ...*peer) map[string]int {
	r.t.Helper()
	counts, wrong, failed := map[string]int{}, map[string]int{}, map[string]int{}
	for _, c := range calls {
		switch {
		case c.err != "":
			failed[c.err]++
		case !slices.ContainsFunc(want, func(p *peer) bool { return p.spec.Name == c.by }):
			wrong[c.by]++
		default:
			counts[c.by]++
		}
	}
	for text, n := range failed {
		r.t.Errorf("%d of %d calls of %s failed: %.300s", n, len(calls), calls[0].id, text)
	}
	if len(wrong) > 0 {
		r.t.Errorf("calls of %s went to %v", calls[0].id, wrong)
	}
	return counts
}

// tags:
//  1. a Go and a Java provider join the lane gray, one with a third of the other's
//     weight;
//  2. from either consumer gray calls reach them alone, by weight (of 1,200 calls 900
//     with a sigma of 15 go to the heavy one; with equal weights it would be 600), calls
//     without a tag, sent at the same time, and those of a lane that is not there never do;
//  3. both leave: gray calls are served by the baseline.
func (r *rounds) tags() {
	// 1
	light, heavy := r.start(spec{Name: "grayGo", Tag: "gray", Weight: 200}), r.start(spec{Name: "grayJava", Java: true, Tag: "gray", Weight: 600})
	r.ready(light, heavy)

	// 2
	const calls = 1200
	for _, from := range []*peer{r.fromGo, r.fromJava} {
		r.knows(from, "gray", light, heavy)
		gray, plain, other := r.load(from, "gray", 0, 0, calls), r.load(from, "", 0, 0, calls), r.load(from, "blue", 0, 0, calls/4)
		counts := r.count(gray.wait(), light, heavy)
		r.t.Logf("%s: gray %v, plain %v, blue %v", from.spec.Name, counts, r.count(plain.wait(), r.baseline...), r.count(other.wait(), r.baseline...))
		if z := (float64(counts[heavy.spec.Name]) - calls*0.75) / math.Sqrt(calls*0.75*0.25); math.Abs(z) > sigmas {
			r.t.Errorf("%s: %v of weights 200 and 600, z = %.1f", from.spec.Name, counts, z)
		}
	}

	// 3
	r.term(light)
	r.term(heavy)
	r.ended(light)
	r.ended(heavy)
	for _, from := range []*peer{r.fromGo, r.fromJava} {
		r.t.Logf("%s: gray without a lane %v", from.spec.Name, r.count(r.load(from, "gray", 0, 0, calls/4).wait(), r.baseline...))
	}
}

const (
	endless   = 1 << 30
	shortWork = 20 * time.Millisecond
	longWork  = 2 * time.Second
)

// underLoad lets p leave by SIGTERM while both consumers send calls of 20 ms and of
// 2 s, when it works on three long calls of from at least, the last of which has just
// begun, and returns the calls of each.
func (r *rounds) underLoad(p, from *peer) (calls map[*peer][]call, at, gone time.Time) {
	r.t.Helper()
	batches := map[*peer][]*batch{}
	long := ""
	for _, c := range []*peer{r.fromGo, r.fromJava} {
		batches[c] = []*batch{r.load(c, "", 120, shortWork, endless), r.load(c, "", 15, longWork, endless)}
		if c == from {
			long = batches[c][1].name
		}
	}
	r.await(p.spec.Name+" at work", func() bool {
		running, fresh := 0, false
		for _, e := range r.executions[long] {
			if age := time.Since(e.at); e.by == p.spec.Name && age < longWork*9/10 {
				running, fresh = running+1, fresh || age < longWork/10
			}
		}
		return running >= 3 && fresh
	})
	at = r.term(p)
	gone = r.ended(p)
	last := r.load(from, "", 60, shortWork, 60) // a second more
	last.wait()
	calls = map[*peer][]call{}
	for c, list := range batches {
		for _, b := range list {
			calls[c] = append(calls[c], b.stop()...)
		}
	}
	calls[from] = append(calls[from], last.wait()...)
	return calls, at, gone
}

// goLeaves: a Go provider leaves and no call is lost, of neither consumer: each one is
// answered and was executed once. Its drain report says that it dropped none.
func (r *rounds) goLeaves() {
	calls, at, gone := r.underLoad(r.go1, r.fromJava)
	executions := r.runs()
	for from, list := range calls {
		r.count(list, r.baseline...)
		short, long, last := 0, 0, time.Duration(0)
		for _, c := range list {
			runs := executions[c.id]
			if len(runs) != 1 {
				r.t.Errorf("%s was executed %d times", c.id, len(runs))
				continue
			}
			if runs[0].by != r.go1.spec.Name {
				continue
			}
			if runs[0].at.After(at) {
				last = max(last, runs[0].at.Sub(at))
			}
			if c.start.Before(at) && c.end.After(at) {
				if c.end.Sub(c.start) >= longWork {
					long++
				} else {
					short++
				}
			}
		}
		r.t.Logf("%s: %d calls; at the signal %d short and %d long ones in flight there; last new one %v after it", from.spec.Name, len(list), short, long, last.Round(time.Millisecond))
		if from == r.fromJava && long < 3 {
			r.t.Errorf("%s: %d calls of %v in flight at the signal, want 3 at least, or little was tested", from.spec.Name, long, longWork)
		}
	}
	switch rep := r.go1.report; {
	case rep == nil:
		r.t.Error("no drain report")
	case rep.Aborted != 0:
		r.t.Errorf("%d calls aborted: %+v", rep.Aborted, *rep)
	default:
		r.t.Logf("gone after %v: %+v", gone.Sub(at).Round(time.Millisecond), *rep)
	}
	r.baseline = slices.DeleteFunc(r.baseline, func(p *peer) bool { return p == r.go1 })
}

// javaLeaves: a Java provider leaves. What it took and did not answer is of unknown
// outcome, and nobody can promise more than to say so; that count is reported. What can
// be promised of Graylane's calls: those that were never executed, as far as a caller
// can know, were sent elsewhere, so that each failure is one of unknown outcome and
// counted as that; no call fails that started when the process was gone; none is
// executed twice (looked at in the end, for all calls).
func (r *rounds) javaLeaves() {
	before := r.read(r.fromGo)
	calls, at, gone := r.underLoad(r.java1, r.fromGo)
	after, executions := r.read(r.fromGo), r.runs()
	for from, list := range calls {
		failed, never := 0, 0
		var ends []time.Duration // of failed calls, after the signal
		texts := map[string]int{}
		for _, c := range list {
			if c.err == "" {
				continue
			}
			failed++
			texts[c.err]++
			ends = append(ends, c.end.Sub(at).Round(time.Millisecond))
			if len(executions[c.id]) == 0 {
				never++
			}
			if from == r.fromGo && c.start.After(gone) {
				r.t.Errorf("%s started %v after the process was gone and failed: %s", c.id, c.start.Sub(gone), c.err)
			}
		}
		r.t.Logf("%s: of %d calls %d failed, %d of them never executed, at these times after the signal: %v", from.spec.Name, len(list), failed, never, ends)
		for text, n := range texts {
			r.t.Logf("%s: %d x %.300s", from.spec.Name, n, text)
		}
		if from == r.fromGo {
			r.t.Logf("gone after %v; stats before %+v, after %+v", gone.Sub(at).Round(time.Millisecond), before, after)
			if int(after.unknown-before.unknown) != failed || after.noEndpoint != before.noEndpoint || after.exhausted != before.exhausted {
				r.t.Errorf("%d calls failed; stats before %+v, after %+v: want as many of unknown outcome and no other", failed, before, after)
			}
		}
	}
	r.baseline = slices.DeleteFunc(r.baseline, func(p *peer) bool { return p == r.java1 })
}
