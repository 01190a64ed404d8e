// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"encoding/json"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/self"
)

// Ledger is what a process says of all its calls when it ends, to be compared
// with the drain reports of those that it called.
type Ledger struct {
	App     string           `json:"app"`
	Caller  string           `json:"caller"`
	Entries []endpoint.Entry `json:"entries"`
}

// ReadLedger returns the ledger of this process, for the application app.
func ReadLedger(app string) Ledger {
	return Ledger{App: app, Caller: self.CallerID(app), Entries: endpoint.Shared.Ledger()}
}

// PrintLedger writes what this process counted, one line of JSON each: the ledger
// and the counters, or, in mode observe, the differences. It writes nothing for a
// process that called nobody.
func PrintLedger(app string) {
	l := ReadLedger(app)
	switch {
	case len(l.Entries) == 0:
	case conf.Current().Mode == conf.Observe:
		printLine("differences", ReadDifferences())
	default:
		printLine("ledger", l)
		printLine("calls", ReadStats())
	}
}

func printLine(what string, v any) {
	line, err := json.Marshal(v)
	if err != nil {
		logger.Errorf("[graylane] %s: %v", what, err)
		return
	}
	logger.Infof("graylane %s %s", what, line)
}
