// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
)

// Name is the name of the filter in dubbogo.yml, and of the interceptor.
const Name = "graylane-propagate"

func init() {
	extension.SetFilter(Name, func() filter.Filter { return Filter{} })
	cluster.SetClusterInterceptor(Name, func() cluster.Interceptor { return Interceptor{} })
}
