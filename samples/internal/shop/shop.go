// SPDX-License-Identifier: Apache-2.0

// Package shop holds what the four sample programs share and what needs no
// Dubbo: members, prices, the executions file, reading the configuration.
// There is nothing about lanes here or in the programs: Graylane does that.
package shop

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/dubbogo/gost/log/logger"
)

// LogCallFailed writes one line `shop: call failed {json}` about a call to
// service that did not succeed.
func LogCallFailed(requestID, service string, err error) {
	line, jsonErr := json.Marshal(struct {
		RequestID string `json:"request_id"`
		Service   string `json:"service"`
		Error     string `json:"error"`
	}{requestID, service, err.Error()})
	if jsonErr != nil {
		line = []byte(`{}`) // three strings always marshal
	}
	logger.Warnf("shop: call failed %s", line)
}

// Exit ends the program: with 0 if err is nil, else with one line on stderr
// and 1.
func Exit(program string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", program, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
	os.Exit(0)
}
