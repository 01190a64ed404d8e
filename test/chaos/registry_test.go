// SPDX-License-Identifier: Apache-2.0

package chaos

func registryEvents() []event { return nil }
