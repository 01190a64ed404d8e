// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"math"
	"strconv"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/meta"
)

// Nacos has a weight of its own for every instance, 1 unless somebody set one, and
// whoever operates it changes that. Dubbo's weight, 100 unless somebody set one, is
// in the metadata. An instance counts by Dubbo's weight times what became of
// Nacos's since the instance registered: 0.4 instead of 1 is 40 instead of 100.

// metaRegistered is the metadata key under which an instance of application level
// publishes the Nacos weight that it registered with, if that is not 1.
const metaRegistered = "graylane-nacos-weight"

const (
	unit      = 1.0     // Nacos's own default
	maxWeight = 10000.0 // Nacos's own limit
)

// registeredByURL is the Nacos weight that dubbo-go gives an instance of interface
// level: that of the URL, where it has one. Java leaves Nacos's default.
func registeredByURL(metadata map[string]string) float64 {
	if !strings.HasPrefix(metadata[constant.ReleaseKey], "dubbo-golang") {
		return unit
	}
	return bounded(metadata[constant.WeightKey])
}

// registeredByInstance is the same for application level.
func registeredByInstance(metadata map[string]string) float64 {
	return bounded(metadata[metaRegistered])
}

// bounded reads a Nacos weight as dubbo-go does: nothing, 0 and less are 1.
func bounded(text string) float64 {
	w, err := strconv.ParseFloat(text, 64)
	if err != nil || !(w > 0) { // NaN is not above 0 either
		return unit
	}
	return min(w, maxWeight)
}

// weigh returns the weight that counts, and whether Nacos changed it.
func weigh(host model.Instance, registered float64) (weight float64, changed bool) {
	own := meta.Weight(func(key string) string {
		if key == meta.RegistryWeight { // ours to say
			return ""
		}
		return host.Metadata[key]
	})
	if host.Weight == registered || !(host.Weight >= 0) {
		return own, false
	}
	return own * host.Weight / registered, true
}

// setWeight writes the weight that counts: the exact one for our Directory, a whole
// one for everybody else, who would take 0 for unset.
func setWeight(host model.Instance, registered float64, set func(key, value string)) int {
	w, changed := weigh(host, registered)
	whole := int(max(1, math.Round(w)))
	if changed {
		set(constant.WeightKey, strconv.Itoa(whole))
		set(meta.RegistryWeight, strconv.FormatFloat(w, 'f', -1, 64))
	}
	return whole
}
