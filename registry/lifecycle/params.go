// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"slices"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// written are the parameters that dubbo-go and we write into the URL of a service that
// is exported. The others are the user's.
var written = []string{ //nolint:gochecknoglobals // a constant
	constant.InterfaceKey, constant.TimestampKey, constant.ClusterKey, constant.LoadbalanceKey, constant.WarmupKey,
	constant.RetriesKey, constant.GroupKey, constant.VersionKey, constant.RegistryRoleKey, constant.ReleaseKey, constant.SideKey,
	constant.SerializationKey, constant.ApplicationKey, constant.OrganizationKey, constant.NameKey, constant.ModuleKey,
	constant.AppVersionKey, constant.OwnerKey, constant.EnvironmentKey, constant.WeightKey, constant.ServiceFilterKey,
	constant.AccessLogFilterKey, constant.TPSLimitStrategyKey, constant.TPSLimitIntervalKey, constant.TPSLimitRateKey,
	constant.TPSLimiterKey, constant.TPSRejectedExecutionHandlerKey, constant.TracingConfigKey, constant.ExecuteLimitKey,
	constant.ExecuteRejectedExecutionHandlerKey, constant.ServiceAuthKey, constant.ParameterSignatureEnableKey, constant.ExportKey,
	constant.PIDKey, constant.BeanNameKey, constant.ApplicationTagKey, constant.TokenKey, constant.MetadataTypeKey,
	constant.MaxServerSendMsgSize, constant.MaxServerRecvMsgSize, "IDL-mode", constant.RegistryKey, constant.RegistryTypeKey,
	constant.RegistryIdKey, constant.MethodsKey, constant.PathKey, constant.TimeoutKey, constant.AnyhostKey,
}

// ownParams returns the parameters that the user gave the services of an instance.
// dubbo-go leaves them out of the service info, so that no rule could ask for them;
// we publish them with the instance, where Java reads them too and the revision stays
// what it is. One that two services give different values says nothing of the
// instance and is left out.
func ownParams(urls []*common.URL) map[string]string {
	own := make(map[string]string)
	var differ []string
	for _, u := range urls {
		for key, values := range u.GetParams() {
			if len(values) == 0 || values[0] == "" || slices.Contains(written, key) ||
				strings.HasPrefix(key, "dubbo.") || strings.HasPrefix(key, "methods.") {
				continue
			}
			if v, there := own[key]; there && v != values[0] {
				differ = append(differ, key)
			}
			own[key] = values[0]
		}
	}
	for _, key := range differ {
		delete(own, key)
	}
	return own
}
