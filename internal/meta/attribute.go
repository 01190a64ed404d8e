// SPDX-License-Identifier: Apache-2.0

package meta

// Attributes of a provider's URL, by which rules see what the provider said of
// itself. They stay in this process.
const (
	Provider = "graylane-provider" // *common.URL: the provider's own, before the reference's parameters are merged in
	Instance = "graylane-instance" // map[string]string: metadata of the instance that its URLs do not carry; nobody changes it
)
