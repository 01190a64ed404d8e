// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"testing"

	rig "github.com/graylane/graylane/test/rig/nacos"
)

// TestNacos runs everything on one real server, for one takes ten seconds to start.
func TestNacos(t *testing.T) {
	needNacos(t)
	dir := t.TempDir()
	s := start(t, dir)
	// Before dubbo-go's clients are there: the SDK's reconnecting is a data race with itself.
	outer := t
	t.Run("outage", func(t *testing.T) { s = testOutage(t, s, dir, func() *rig.Server { return start(outer, dir) }) })
	for _, tc := range []struct {
		name string
		f    func(*testing.T, *rig.Server)
	}{
		{"interface level: what is written", testInterfaceWire},
		{"interface level: dubbo-go on either side", testInterfacePeers},
		{"interface level: two protocols", testTwoProtocols},
		{"interface level: versions, groups", testVersionsAndGroups},
		{"interface level: the operator's word", testInterfaceOperator},
		{"application level: what is written", testApplicationWire},
		{"application level: lists and pushes", testApplication},
		{"application level: dubbo-go on either side", testApplicationPeers},
		{"application level: the operator's word", testApplicationOperator},
		{"two processes in one folder", testFolders},
		{"the only instance is disabled", testDisabled},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.f(t, s) })
	}
}
