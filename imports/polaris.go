// SPDX-License-Identifier: Apache-2.0

package imports

import (
	"errors"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/remoting/polaris"

	"github.com/graylane/graylane/cluster/routers"
)

// init leaves dubbo-go's Polaris router out where no Polaris is configured: it
// would be handed a copy of the list with every call, and hand it back.
func init() {
	routers.Passive(constant.PluginPolarisRouterFactory, func() bool {
		return errors.Is(polaris.Check(), polaris.ErrorNoOpenPolarisAbility)
	})
}
