// SPDX-License-Identifier: Apache-2.0

package tagrouter

// Rule is one application's rule.
type Rule struct{ _ byte }
