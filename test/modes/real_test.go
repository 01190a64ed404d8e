// SPDX-License-Identifier: Apache-2.0

package modes

// real are the rows whose tests need real servers.
var real = map[string]bool{}

func runChild(string) {}
