// SPDX-License-Identifier: Apache-2.0

package report

import (
	"encoding/json"
	"io"
	"math"
	"slices"
)

// Summary is the JSON object of -json. Keys are only ever added.
type Summary struct {
	Pass             bool    `json:"pass"`
	Requests         int     `json:"requests"`
	Failed           int     `json:"failed"`
	Unexplained      int     `json:"unexplained"` // failed and not in flight on the killed instance
	Duplicates       int     `json:"duplicates"`  // request ids executed more than once
	Leaked           int     `json:"leaked"`
	Fallbacks        int     `json:"fallbacks"` // hops of coloured requests that the baseline served
	WarmupMaxZ       float64 `json:"warmup_max_z"`
	LastNewCallMSP95 float64 `json:"last_new_call_ms_p95"`
	LastNewCallMSMax float64 `json:"last_new_call_ms_max"`
	Rerouted         int     `json:"rerouted"`
	Refused          int     `json:"refused"`
	Seconds          float64 `json:"seconds"` // from the first process to the end of the books

	// The lists hold at most 100 entries, the counts above are exact.
	InFlight       int       `json:"in_flight_at_kill"`
	UnexplainedIDs []string  `json:"unexplained_ids"`
	DuplicateIDs   []string  `json:"duplicate_ids"`
	LastNewCallMS  []float64 `json:"last_new_call_ms"` // of each stop: pool them over runs for a percentile
	LatencyMSP50   float64   `json:"latency_ms_p50"`
	LatencyMSP99   float64   `json:"latency_ms_p99"`
	LatencyMSMax   float64   `json:"latency_ms_max"`
	Rate           int       `json:"rate"`
	Registry       string    `json:"registry"`
	Level          string    `json:"level"`
	Faults         []string  `json:"faults"`
	Plain          *Summary  `json:"plain,omitempty"` // with -compare: the same without Graylane
}

// maxListed bounds the lists of ids and faults; the counts are exact.
const maxListed = 100

// WriteJSON writes the summary as one line.
func (s *Summary) WriteJSON(w io.Writer) error {
	for _, list := range []*[]string{&s.UnexplainedIDs, &s.DuplicateIDs, &s.Faults} {
		if *list == nil {
			*list = []string{}
		}
		*list = (*list)[:min(len(*list), maxListed)]
	}
	if s.LastNewCallMS == nil {
		s.LastNewCallMS = []float64{}
	}
	return json.NewEncoder(w).Encode(s)
}

// Percentile returns the smallest value that at least p percent of the values do
// not exceed, 0 without values.
func Percentile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(0, int(math.Ceil(p/100*float64(len(sorted))))-1)]
}
