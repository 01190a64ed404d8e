// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"net/http"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
)

// trailerOf returns where a unary Triple call puts its trailer: the caller's own
// target or a new one. others is how many of the attributes are known to be none.
func trailerOf(inv base.Invocation, a map[string]any, others int) *http.Header {
	if len(a) > others {
		if h, ok := a[constant.ResponseTrailerKey].(*http.Header); ok && h != nil {
			return h
		}
	}
	h := new(http.Header)
	if a != nil {
		a[constant.ResponseTrailerKey] = h
	} else {
		inv.SetAttribute(constant.ResponseTrailerKey, h)
	}
	return h
}
