// SPDX-License-Identifier: Apache-2.0

package rulecenter

import "sync/atomic"

// Stats counts texts of rules that were read in this process: each once per
// change, however often the centre tells of it.
type Stats struct {
	Good    int64 // put in force (or kept behind the rule of another group)
	Bad     int64 // could not be decoded: the last good one stayed
	Deleted int64 // gone, or emptied
}

var counters struct { //nolint:gochecknoglobals // of the process, as the rules are
	good, bad, deleted atomic.Int64
}

// ReadStats returns the counters as they are now. It may be called at any time.
func ReadStats() Stats {
	return Stats{Good: counters.good.Load(), Bad: counters.bad.Load(), Deleted: counters.deleted.Load()}
}
