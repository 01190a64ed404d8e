// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// span is a range of whole numbers with both its ends, as Dubbo's condition routes
// write it: 1~100, ~100, 100~.
type span struct{ low, high int64 }

func parseSpan(text string) (span, error) {
	s := span{math.MinInt64, math.MaxInt64}
	low, high, ok := strings.Cut(text, "~")
	low, high = strings.TrimSpace(low), strings.TrimSpace(high)
	bad := !ok || low == "" && high == ""
	var err error
	if low != "" {
		s.low, err = strconv.ParseInt(low, 10, 64)
		bad = bad || err != nil
	}
	if high != "" {
		s.high, err = strconv.ParseInt(high, 10, 64)
		bad = bad || err != nil
	}
	if bad || s.low > s.high {
		return s, fmt.Errorf("got %q, want low~high, ~high or low~ in whole numbers", clip(text))
	}
	return s, nil
}

// holds reports whether a value is a whole number of the range.
func (s span) holds(value string) bool {
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && s.low <= n && n <= s.high
}
