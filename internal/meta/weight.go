// SPDX-License-Identifier: Apache-2.0

package meta

import "strconv"

// defaultWeight is dubbo-go's (constant.DefaultWeight) and Java's.
const defaultWeight = 100

// RegistryWeight is the key of the weight that an operator gave an instance at the
// registry, 0 or more, fractions count. It wins over what the provider publishes
// and says what "weight", an int whose 0 means unset, cannot. Registries that can
// tell add it on this side; it is never sent. In the metadata of an instance an
// empty value says that the registry can tell and the operator said nothing.
const RegistryWeight = "graylane-registry-weight"

// MaxWeight bounds weights, whoever names them, so that sums of them stay finite. Sums
// of dubbo-go's balancers are of 64 bits: where one overflows, round robin takes what is
// left for a debt that it never pays back, also after the weight is gone.
const MaxWeight = 1e9

// Weight returns the weight of a provider, at most [MaxWeight]: the registry's own
// word, of which 0 means no calls; else what the provider publishes under the key
// "weight", if it is above 0, else the default of 100: dubbo-go publishes 0 when nobody
// set one.
func Weight(get func(key string) string) float64 {
	if text := get(RegistryWeight); text != "" { // an error of strconv's costs more than all else here
		if w, err := strconv.ParseFloat(text, 64); err == nil && w >= 0 {
			return min(w, MaxWeight)
		}
	}
	if w, err := strconv.Atoi(get("weight")); err == nil && w > 0 {
		return min(float64(w), MaxWeight)
	}
	return defaultWeight
}
