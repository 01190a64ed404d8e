// SPDX-License-Identifier: Apache-2.0

package meta

// Attributes of a provider's URL, by which rules see what the provider said of
// itself. They stay in this process.
const (
	Provider = "graylane-provider" // *common.URL: the provider's own, before the reference's parameters are merged in
	Instance = "graylane-instance" // map[string]string: metadata of the instance that its URLs do not carry; nobody changes it
)

// Check is the attribute of a reference's URL that says whether its process waits for
// providers: a bool, dubbo-go's `check`, which its URLs do not carry.
const Check = "graylane-check"
