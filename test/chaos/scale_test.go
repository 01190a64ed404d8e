// SPDX-License-Identifier: Apache-2.0

package chaos

func scaleEvents() []event { return nil }
