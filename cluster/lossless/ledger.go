// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"encoding/json"

	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
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

// PrintLedger writes the ledger as one line of JSON, if there were any calls.
func PrintLedger(app string) {
	l := ReadLedger(app)
	if len(l.Entries) == 0 {
		return
	}
	line, err := json.Marshal(l)
	if err != nil {
		logger.Errorf("[graylane] ledger: %v", err)
		return
	}
	logger.Infof("graylane ledger %s", line)
}
