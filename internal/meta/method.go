// SPDX-License-Identifier: Apache-2.0

package meta

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// MethodKey is the key under which a URL keeps a parameter of one method.
func MethodKey(method, param string) string { return constant.MethodKeys + "." + method + "." + param }

// EachMethod calls f for each method that a URL gives the parameter of its own, in no
// order. A name without a dot is meant, as dubbo-go's are: "methods.Get.retries" is
// method Get's. An empty value says nothing. f must not change the URL.
func EachMethod(u *common.URL, param string, f func(method, value string)) {
	u.RangeParams(func(key, value string) bool {
		rest, ok := strings.CutPrefix(key, constant.MethodKeys+".")
		method, name, found := strings.Cut(rest, ".")
		if ok && found && name == param && value != "" {
			f(method, value)
		}
		return true
	})
}
