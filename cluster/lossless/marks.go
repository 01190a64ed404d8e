// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// heed acts on the mark of an answer: `closing;<incarnation>` takes the instance
// out of all pools (for 40 s where nothing names its process), `warming;<age ms>` sets its age. A refusal because of closing
// is more than the mark: from then on it is not even called where there is nothing else. Unknown marks are ignored.
func heed(i *endpoint.Instance, v verdict) {
	kind, value, _ := strings.Cut(v.state, ";")
	switch {
	case v.outcome == endpoint.Refused && v.refused == tag.RefusedClosing && i.Named():
		i.MarkRefusing()
	case kind == tag.StateClosing && (value == i.Incarnation || !i.Named()):
		i.MarkClosing()
	case kind == tag.StateWarming:
		if ms, err := strconv.ParseInt(value, 10, 64); err == nil && ms >= 0 {
			i.Calibrate(true, time.Duration(ms)*time.Millisecond)
		}
	case v.state == "" && v.outcome == endpoint.Answered:
		i.Calibrate(false, 0)
	}
}

// reportUnknown writes one line for a call whose outcome nobody knows, for it
// may have been executed. Tools read it.
func reportUnknown(service string, inv base.Invocation, e *endpoint.Endpoint, err error) {
	line, _ := json.Marshal(map[string]string{
		"service": service, "method": inv.MethodName(), "address": e.Address, "incarnation": e.Incarnation, "error": err.Error(),
	})
	logger.Warnf("graylane unknown %s", line)
}
