// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"sync/atomic"

	"github.com/graylane/graylane/cluster/tagrouter"
)

// stats counts what a user must be able to see; nothing is lost silently.
var stats struct { //nolint:gochecknoglobals // counters of the process
	fallback                             [4]atomic.Int64 // by reasonIndex
	rerouted, refused, unknown, retried  atomic.Int64
	ejected, noEndpoint, budgetExhausted atomic.Int64
}

// Stats are counters since the start of the process.
type Stats struct {
	Fallbacks       map[tagrouter.Reason]int64 `json:"fallbacks"`        // calls served below the tag that they wanted
	Rerouted        int64                      `json:"rerouted"`         // never executed, sent to another endpoint
	Refused         int64                      `json:"refused"`          // typed refusals received
	Unknown         int64                      `json:"unknown"`          // returned with an unknown outcome
	Retried         int64                      `json:"retried"`          // repeated though the outcome was unknown
	Ejected         int64                      `json:"ejected"`          // outliers
	NoEndpoint      int64                      `json:"no_endpoint"`      // calls that no endpoint could serve
	BudgetExhausted int64                      `json:"budget_exhausted"` // retries and reroutes that the budget forbade
}

var reasons = [...]tagrouter.Reason{tagrouter.NoInstance, tagrouter.Closing, tagrouter.Outlier, tagrouter.Untagged} //nolint:gochecknoglobals // a constant

// requestPath is the boxed value of the request's graylane-path by reason.
var requestPath = [...]any{"1;" + string(tagrouter.NoInstance), "1;" + string(tagrouter.Closing), "1;" + string(tagrouter.Outlier), "1;" + string(tagrouter.Untagged)} //nolint:gochecknoglobals // a constant, boxed once

var pathNoFallback any = "1" //nolint:gochecknoglobals // a constant, boxed once

func reasonIndex(r tagrouter.Reason) int {
	for n, known := range reasons {
		if r == known {
			return n
		}
	}
	return -1
}

// countFallback counts a call that is served below its tag, once a call.
func countFallback(r tagrouter.Reason) {
	if n := reasonIndex(r); n >= 0 {
		stats.fallback[n].Add(1)
	}
}

// ReadStats returns the counters.
func ReadStats() Stats {
	s := Stats{
		Fallbacks: make(map[tagrouter.Reason]int64, len(reasons)),
		Rerouted:  stats.rerouted.Load(), Refused: stats.refused.Load(), Unknown: stats.unknown.Load(), Retried: stats.retried.Load(),
		Ejected: stats.ejected.Load(), NoEndpoint: stats.noEndpoint.Load(), BudgetExhausted: stats.budgetExhausted.Load(),
	}
	for n, r := range reasons {
		s.Fallbacks[r] = stats.fallback[n].Load()
	}
	return s
}
