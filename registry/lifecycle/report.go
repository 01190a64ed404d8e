// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"encoding/json"
	"time"

	"github.com/graylane/graylane/filter/shutdown"
)

// reportPrefix begins the log line that tools read.
const reportPrefix = "graylane drain report "

// report is the drain report; docs/shutdown.md describes its fields.
type report struct {
	App            string           `json:"app"`
	Addresses      []string         `json:"addresses"`
	Incarnation    string           `json:"incarnation"`
	Accepted       uint64           `json:"accepted"`
	Completed      uint64           `json:"completed"`
	Refused        uint64           `json:"refused"`
	Aborted        uint64           `json:"aborted"`
	InFlightAtMark int64            `json:"in_flight_at_mark"`
	Marked         string           `json:"marked"`
	Deregistered   string           `json:"deregistered"`
	LastNewCall    string           `json:"last_new_call"`
	Drained        string           `json:"drained"`
	DrainMs        float64          `json:"drain_ms"`
	Callers        []reportCaller   `json:"callers"`
	Uninformed     []string         `json:"uninformed"`
	CannotReroute  []string         `json:"cannot_reroute"`
	Abandoned      []reportAbandons `json:"abandoned"`
}

type reportCaller struct {
	ID        string `json:"id"`
	Accepted  uint64 `json:"accepted"`
	Completed uint64 `json:"completed"`
	Refused   uint64 `json:"refused"`
	AfterMark uint64 `json:"after_mark"`
	Informed  bool   `json:"informed"`
	Reroutes  bool   `json:"reroutes"`
	Left      bool   `json:"left"`
}

type reportAbandons struct {
	Caller string `json:"caller"`
	Method string `json:"method"`
	Count  int64  `json:"count"`
}

// newReport puts the books as they are now beside the times of the drain.
func newReport(app string, addresses []string, s shutdown.Snapshot, o outcome) report {
	r := report{
		App:            app,
		Addresses:      append([]string{}, addresses...),
		Incarnation:    Incarnation(),
		InFlightAtMark: s.InFlightMark,
		Marked:         stamp(o.marked),
		Deregistered:   stamp(o.deregistered),
		LastNewCall:    stamp(s.LastStart),
		Drained:        stamp(o.drained),
		DrainMs:        float64(o.drained.Sub(o.marked).Microseconds()) / 1000,
		Callers:        []reportCaller{},
		Uninformed:     []string{},
		CannotReroute:  []string{},
		Abandoned:      []reportAbandons{},
	}
	for _, c := range s.Callers {
		r.Accepted += c.Accepted
		r.Completed += c.Completed
		r.Refused += c.Refused
		r.Aborted += c.Aborted
		r.Callers = append(r.Callers, reportCaller{
			ID: c.ID, Accepted: c.Accepted, Completed: c.Completed, Refused: c.Refused,
			AfterMark: c.AfterMark, Informed: heard(c), Reroutes: c.Reroutes, Left: left(c),
		})
		switch {
		case !recent(c, s.Marked): // gone, it need not know
		case !c.Reroutes:
			r.CannotReroute = append(r.CannotReroute, c.ID)
		case !heard(c):
			r.Uninformed = append(r.Uninformed, c.ID)
		}
	}
	for _, a := range s.Running { // cut off: nobody waits for these any more
		r.Aborted += uint64(max(a.Count, 0))
		r.Abandoned = append(r.Abandoned, reportAbandons(a))
	}
	return r
}

func (r report) String() string {
	b, err := json.Marshal(r)
	if err != nil { // strings and numbers only: cannot happen
		return reportPrefix + `{"error":"` + err.Error() + `"}`
	}
	return reportPrefix + string(b)
}

// stamp formats a time for the report, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}
