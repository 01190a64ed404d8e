// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/graylane/graylane/cluster/lossless"
)

// ledger is what a consumer prints when it ends.
type ledger = lossless.Ledger

// drainReport is what of a provider's report the books need.
type drainReport struct {
	Incarnation   string    `json:"incarnation"`
	Aborted       uint64    `json:"aborted"`
	DrainMs       float64   `json:"drain_ms"`
	Deregistered  time.Time `json:"deregistered"`
	Drained       time.Time `json:"drained"`
	Uninformed    []string  `json:"uninformed"`
	CannotReroute []string  `json:"cannot_reroute"`
	Callers       []struct {
		ID       string `json:"id"`
		Accepted uint64 `json:"accepted"`
		Refused  uint64 `json:"refused"`
		Informed bool   `json:"informed"`
		Reroutes bool   `json:"reroutes"`
	} `json:"callers"`
}

// book takes in the log lines that make the books. The lock is held.
func (f *fleet) book(p *process, line string) {
	if text, ok := after(line, "graylane drain report "); ok {
		p.report = new(drainReport)
		if err := json.Unmarshal([]byte(text), p.report); err != nil {
			f.t.Errorf("%s: drain report: %v", p.spec.Name, err)
		}
	}
	if text, ok := after(line, "graylane ledger "); ok {
		var l ledger
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			f.t.Errorf("%s: ledger: %v", p.spec.Name, err)
		}
		f.ledgers = append(f.ledgers, l)
	}
}

// after returns the JSON object behind a mark in a log line.
func after(line, mark string) (string, bool) {
	_, text, ok := strings.Cut(line, mark)
	if i := strings.LastIndexByte(text, '}'); i >= 0 {
		text = text[:i+1]
	}
	return text, ok
}

// balance compares ledgers and drain reports, pair by pair, for the processes that
// left in order: accepted + refused = sent, but for calls of which the caller knows
// nothing.
func (f *fleet) balance(left []*process) (pairs int, faults []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all := len(f.consumers) + len(f.parted); len(f.ledgers) != all {
		return 0, []string{fmt.Sprintf("%d ledgers of %d consumers", len(f.ledgers), all)}
	}
	for _, p := range left {
		if p.report == nil {
			faults = append(faults, p.spec.Name+" printed no drain report")
			continue
		}
		if p.report.Aborted != 0 {
			faults = append(faults, fmt.Sprintf("%s aborted %d calls", p.spec.Name, p.report.Aborted))
		}
		for _, c := range p.report.Callers {
			for _, l := range f.ledgers {
				if l.Caller != c.ID {
					continue
				}
				sent, unknown, entries := int64(0), int64(0), 0
				for _, e := range l.Entries { // more than one if it was out of the registry for a while
					if e.Incarnation == p.report.Incarnation {
						sent, unknown, entries = sent+e.Sent, unknown+e.Unknown, entries+1
					}
				}
				if entries == 0 {
					continue
				}
				if !slices.Contains(f.parted, l.Caller) { // who called only some of them
					pairs++
				}
				// A call without an answer may have arrived, or not.
				if came := int64(c.Accepted + c.Refused); came > sent || came < sent-unknown {
					faults = append(faults, fmt.Sprintf("%s by %s: sent %d, %d of them unknown; accepted %d + refused %d", p.spec.Name, c.ID, sent, unknown, c.Accepted, c.Refused))
				}
			}
		}
	}
	return pairs, faults
}
