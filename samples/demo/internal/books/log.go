// SPDX-License-Identifier: Apache-2.0

// Package books reads what providers and callers said about their calls and
// checks that all of it agrees: the load generator's requests, the orders'
// tables of executions, the callers' ledgers and the providers' drain reports.
package books

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Drain is the drain report of one provider incarnation.
type Drain struct {
	App          string    `json:"app"`
	Addresses    []string  `json:"addresses"`
	Incarnation  string    `json:"incarnation"`
	Accepted     int       `json:"accepted"`
	Completed    int       `json:"completed"`
	Refused      int       `json:"refused"`
	Aborted      int       `json:"aborted"`
	InFlight     int       `json:"in_flight_at_mark"`
	Marked       time.Time `json:"marked"`
	Deregistered Moment    `json:"deregistered"`
	LastNewCall  Moment    `json:"last_new_call"`
	Drained      Moment    `json:"drained"`
	DrainMS      float64   `json:"drain_ms"`
	Callers      []struct {
		ID        string `json:"id"`
		Accepted  int    `json:"accepted"`
		Completed int    `json:"completed"`
		Refused   int    `json:"refused"`
		AfterMark int    `json:"after_mark"`
		Informed  bool   `json:"informed"`
		Reroutes  bool   `json:"reroutes"`
	} `json:"callers"`

	Process string `json:"-"` // name of the process that wrote it
}

// Moment is a time that may be missing: the zero time for null and "".
type Moment struct{ time.Time }

// UnmarshalJSON accepts RFC 3339 with nanoseconds, "" and null.
func (m *Moment) UnmarshalJSON(b []byte) error {
	if s := string(b); s == `""` || s == "null" {
		m.Time = time.Time{}
		return nil
	}
	return m.Time.UnmarshalJSON(b)
}

// Ledger is what one caller counted, by endpoint.
type Ledger struct {
	App     string  `json:"app"`
	Caller  string  `json:"caller"`
	Entries []Entry `json:"entries"`
}

// Entry counts the calls of one caller to one endpoint.
type Entry struct {
	Service     string `json:"service"`
	Address     string `json:"address"`
	Incarnation string `json:"incarnation"`
	Sent        int    `json:"sent"`
	Answered    int    `json:"answered"`
	Refused     int    `json:"refused"`
	Failed      int    `json:"failed"`
	Unknown     int    `json:"unknown"`
	Rerouted    int    `json:"rerouted"`
}

// Unknown is one call whose outcome its caller could not know.
type Unknown struct {
	Service     string `json:"service"`
	Method      string `json:"method"`
	Address     string `json:"address"`
	Incarnation string `json:"incarnation"`
	Error       string `json:"error"`

	At     time.Time `json:"-"` // when the line was read
	Caller string    `json:"-"` // name of the process that wrote it
}

// Log collects the lines that matter of one run. It is not safe for concurrent use.
type Log struct {
	Drains   []Drain
	Ledgers  []Ledger
	Unknowns []Unknown
	Faults   []string // lines with our prefix that could not be read
}

// The prefixes after which a line holds one JSON object.
const (
	drainPrefix   = "graylane drain report {"
	ledgerPrefix  = "graylane ledger {"
	unknownPrefix = "graylane unknown {"
)

// Add reads one log line of the named process; other lines are ignored.
func (l *Log) Add(process, line string, at time.Time) {
	d := Drain{Process: process}
	var g Ledger
	u := Unknown{At: at, Caller: process}
	switch {
	case l.read(process, line, drainPrefix, &d):
		l.Drains = append(l.Drains, d)
	case l.read(process, line, ledgerPrefix, &g):
		l.Ledgers = append(l.Ledgers, g)
	case l.read(process, line, unknownPrefix, &u):
		l.Unknowns = append(l.Unknowns, u)
	}
}

func (l *Log) read(process, line, prefix string, into any) bool {
	i := strings.Index(line, prefix)
	if i < 0 {
		return false
	}
	object := line[i+len(prefix)-1:]
	if err := json.NewDecoder(strings.NewReader(object)).Decode(into); err != nil {
		l.Faults = append(l.Faults, fmt.Sprintf("%s wrote a %q that cannot be read: %v", process, strings.TrimSuffix(prefix, " {"), err))
		return false
	}
	return true
}

// Merge appends another log.
func (l *Log) Merge(o Log) {
	l.Drains = append(l.Drains, o.Drains...)
	l.Ledgers = append(l.Ledgers, o.Ledgers...)
	l.Unknowns = append(l.Unknowns, o.Unknowns...)
	l.Faults = append(l.Faults, o.Faults...)
}

// Refused sums the calls that providers refused.
func (l *Log) Refused() int {
	n := 0
	for _, d := range l.Drains {
		n += d.Refused
	}
	return n
}

// Rerouted sums the calls that callers sent to another endpoint.
func (l *Log) Rerouted() int {
	n := 0
	for _, g := range l.Ledgers {
		for _, e := range g.Entries {
			n += e.Rerouted
		}
	}
	return n
}
