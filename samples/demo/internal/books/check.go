// SPDX-License-Identifier: Apache-2.0

package books

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Request is what the load generator knows of one request.
type Request struct {
	ID       string
	Answered bool
	Due      time.Time // when it was to be sent
	Done     time.Time // when it was answered or given up
}

// Crash is one process that was killed.
type Crash struct {
	Process     string // name of its table of executions
	Incarnation string // "" if no caller ever named it
	Address     string
	At          time.Time // just before the kill
	Until       time.Time // requests that began after this were not in flight on it
}

// Input is everything that must agree.
type Input struct {
	Requests   []Request
	Executions []Execution
	Log        Log
	Crashes    []Crash
	Plain      bool // plain dubbo-go: nobody wrote ledgers or drain reports
}

// Result is what the books say. The lists are sorted.
type Result struct {
	Sent, Answered, Failed, Executed int

	Duplicates          []string // request ids executed twice or more
	AnsweredNotExecuted []string
	ExecutedNotAnswered []string
	InFlight            int      // calls in flight on killed processes
	Unexplained         []string // failed requests that were not in flight on a killed process
	Pairs               int      // caller and provider incarnation pairs that were compared
	PairFaults          []string // where a ledger and a drain report disagree
	Faults              []string // everything that makes the books wrong, in words
}

// OK reports whether the books agree.
func (r *Result) OK() bool { return len(r.Faults) == 0 }

// Check compares all books of a run.
func Check(in Input) Result {
	r := Result{Sent: len(in.Requests)}
	executed := map[string]int{}
	for _, e := range in.Executions {
		executed[e.RequestID]++
	}
	for id, n := range executed {
		if n > 1 {
			r.Duplicates = append(r.Duplicates, id)
		}
	}
	r.Executed = len(executed)
	sent := make(map[string]bool, len(in.Requests))
	for _, q := range in.Requests {
		sent[q.ID] = true
		ran := executed[q.ID] > 0
		if q.Answered {
			r.Answered++
			if !ran {
				r.AnsweredNotExecuted = append(r.AnsweredNotExecuted, q.ID)
			}
			continue
		}
		r.Failed++
		if ran {
			r.ExecutedNotAnswered = append(r.ExecutedNotAnswered, q.ID)
		}
	}
	for id := range executed {
		if !sent[id] {
			r.fault("request %s was executed and never sent", id)
		}
	}
	var explained map[string]bool
	explained, r.InFlight = inFlight(in)
	for _, q := range in.Requests {
		if !q.Answered && !explained[q.ID] {
			r.Unexplained = append(r.Unexplained, q.ID)
		}
	}
	slices.Sort(r.Duplicates)
	slices.Sort(r.AnsweredNotExecuted)
	slices.Sort(r.ExecutedNotAnswered)
	slices.Sort(r.Unexplained)
	r.judge(in)
	return r
}

func (r *Result) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

func (r *Result) judge(in Input) {
	for _, f := range in.Log.Faults {
		r.fault("%s", f)
	}
	for _, id := range r.Duplicates {
		r.fault("request %s was executed more than once", id)
	}
	for _, id := range r.AnsweredNotExecuted {
		r.fault("request %s was answered and never executed", id)
	}
	if lost := len(r.ExecutedNotAnswered); lost > r.InFlight {
		r.fault("%d requests were executed without an answer, %d calls were in flight at the kill", lost, r.InFlight)
	}
	if !in.Plain {
		r.Pairs, r.PairFaults = pairs(in)
		r.Faults = append(r.Faults, r.PairFaults...)
	}
}

// inFlight finds the failed requests that a kill explains. What ran on the killed
// process without an answer was in flight on it; so was each call that its caller
// reported as unknown at that endpoint. Those lines carry no request id, so they
// explain, in the order of time, as many failed requests of the same moments as
// there are lines beyond the executed ones.
func inFlight(in Input) (explained map[string]bool, calls int) {
	explained = map[string]bool{}
	for _, c := range in.Crashes {
		ran := map[string]bool{}
		for _, e := range in.Executions {
			if e.Process == c.Process {
				ran[e.RequestID] = true
			}
		}
		var overlap []Request
		for _, q := range in.Requests {
			if !q.Answered && q.Due.Before(c.Until) && q.Done.After(c.At) {
				overlap = append(overlap, q)
			}
		}
		slices.SortFunc(overlap, func(a, b Request) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.ID, b.ID)) })
		onIt := 0
		for _, q := range overlap {
			if ran[q.ID] && !explained[q.ID] {
				explained[q.ID] = true
				onIt++
			}
		}
		lines := 0
		for _, u := range in.Log.Unknowns {
			if u.Address == c.Address && (u.Incarnation == c.Incarnation || c.Incarnation == "") && u.At.After(c.At) && u.At.Before(c.Until) {
				lines++
			}
		}
		rest := lines - onIt
		for _, q := range overlap {
			if rest <= 0 {
				break
			}
			if !explained[q.ID] {
				explained[q.ID] = true
				rest--
			}
		}
		calls += max(lines, onIt)
	}
	return explained, calls
}

// pairs compares, for each provider incarnation that left cleanly and each caller
// that did, what the one accepted and refused with what the other sent.
func pairs(in Input) (n int, faults []string) {
	type pair struct{ caller, incarnation string }
	sent := map[pair]int{}
	ledgers := map[string]bool{}
	for _, l := range in.Log.Ledgers {
		if ledgers[l.Caller] {
			faults = append(faults, fmt.Sprintf("caller %s wrote two ledgers", l.Caller))
		}
		ledgers[l.Caller] = true
		for _, e := range l.Entries {
			sent[pair{l.Caller, e.Incarnation}] += e.Sent
		}
	}
	reports := map[string]bool{}
	for _, d := range in.Log.Drains {
		if reports[d.Incarnation] {
			faults = append(faults, fmt.Sprintf("provider %s %s wrote two drain reports", d.App, d.Incarnation))
		}
		reports[d.Incarnation] = true
		total := 0
		for _, c := range d.Callers {
			total += c.Accepted
			if !ledgers[c.ID] {
				faults = append(faults, fmt.Sprintf("provider %s %v %s served %s, which left no ledger", d.App, d.Addresses, d.Incarnation, c.ID))
				continue
			}
			p := pair{c.ID, d.Incarnation}
			n++
			if got, want := c.Accepted+c.Refused, sent[p]; got != want {
				faults = append(faults, fmt.Sprintf("caller %s sent %d calls to %s %v %s, which accepted %d and refused %d",
					c.ID, want, d.App, d.Addresses, d.Incarnation, c.Accepted, c.Refused))
			}
			delete(sent, p)
		}
		if total != d.Accepted {
			faults = append(faults, fmt.Sprintf("provider %s %s accepted %d calls, its callers add up to %d", d.App, d.Incarnation, d.Accepted, total))
		}
		if d.Accepted != d.Completed+d.Aborted {
			faults = append(faults, fmt.Sprintf("provider %s %s accepted %d calls, completed %d, aborted %d", d.App, d.Incarnation, d.Accepted, d.Completed, d.Aborted))
		}
	}
	for p, s := range sent {
		if s > 0 && reports[p.incarnation] {
			faults = append(faults, fmt.Sprintf("caller %s sent %d calls to %s, whose drain report does not name it", p.caller, s, p.incarnation))
		}
	}
	slices.Sort(faults)
	return n, faults
}
