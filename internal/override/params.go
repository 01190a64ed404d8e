// SPDX-License-Identifier: Apache-2.0

package override

import (
	"math"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

// parameter returns a value as those who ask for it understand it. want says what is
// allowed where the value is not, and is empty otherwise.
func parameter(key, value string) (as, want string) {
	if key == constant.TimeoutKey || strings.HasSuffix(key, "."+constant.TimeoutKey) {
		return timeout(value)
	}
	name, ofMethod := key, false
	if rest, ok := strings.CutPrefix(key, constant.MethodKeys+"."); ok {
		_, name, ofMethod = strings.Cut(rest, ".")
	}
	switch name {
	case constant.InterfaceKey, constant.PathKey:
		return value, "no such parameter: what is called cannot be overridden"
	case constant.Tagkey:
		if _, err := tag.Parse(value); err != nil && value != "" {
			return value, "a tag, letters, digits, '-', '_' and '.', at most " + strconv.Itoa(tag.MaxBytes) + " bytes, or \"\" for the baseline"
		}
	case constant.WeightKey:
		w, err := strconv.ParseFloat(value, 64)
		if err != nil || !(w >= 0 && w <= meta.MaxWeight) || ofMethod && w != math.Trunc(w) { // NaN is in no range
			return value, "a number from 0 to " + strconv.Itoa(meta.MaxWeight)
		}
	case constant.RetriesKey:
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > math.MaxInt32 {
			return value, "a whole number from 0"
		}
	case "disabled", constant.StickyKey:
		as = strings.ToLower(value) // Java takes TRUE for true
		if as != "true" && as != "false" {
			return value, "true or false"
		}
		return as, ""
	}
	return value, ""
}

// timeout makes a duration of the milliseconds that Java's timeouts are.
func timeout(value string) (as, want string) {
	as = value
	if ms, err := strconv.Atoi(value); err == nil {
		as = strconv.Itoa(ms) + "ms"
	}
	if d, err := time.ParseDuration(as); err != nil || d <= 0 {
		return value, "milliseconds or a duration above 0"
	}
	return as, ""
}
