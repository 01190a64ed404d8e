// SPDX-License-Identifier: Apache-2.0

package meta

import "strconv"

// defaultWeight is dubbo-go's (constant.DefaultWeight) and Java's.
const defaultWeight = 100

// Weight returns the weight that a provider publishes under the key "weight", if
// it is above 0, else the default of 100: dubbo-go publishes 0 when nobody set one.
func Weight(get func(key string) string) float64 {
	if w, err := strconv.Atoi(get("weight")); err == nil && w > 0 {
		return float64(w)
	}
	return defaultWeight
}
