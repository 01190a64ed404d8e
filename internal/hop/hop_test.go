// SPDX-License-Identifier: Apache-2.0

package hop

import "testing"

// TestKeys: what is taken out on the way to the next hop, and what propagate.keys
// may not name. They differ where a user may mean it.
func TestKeys(t *testing.T) {
	for key, want := range map[string]struct{ local, reserved bool }{
		"timeout":              {true, true},
		"interface":            {true, true},
		"content-type":         {true, true},
		":path":                {true, true},
		"grpc-timeout":         {true, true},
		"tri-service-group":    {true, true},
		"connect-timeout-ms":   {true, true},
		"graylane-caller":      {true, true},
		"graylane-tag":         {true, true}, // written anew for each call
		"remote-addr":          {true, true},
		"billing-addr":         {true, false}, // looks like dubbo-go's, but may be a user's
		"dubbo.force.tag":      {true, false}, // the caller's word: docs/propagation.md
		"dubbo.tag":            {false, true}, // travels by itself
		"baggage":              {false, true}, // holds the tag
		"traceparent":          {false, false},
		"x-user":               {false, false},
		"x-timeout":            {false, false},
		"grpc":                 {false, false},
		"dubbo.tag.of.nothing": {false, false},
	} {
		if got := Local(key); got != want.local {
			t.Errorf("Local(%q) = %t, want %t", key, got, want.local)
		}
		if got := Reserved(key); got != want.reserved {
			t.Errorf("Reserved(%q) = %t, want %t", key, got, want.reserved)
		}
	}
}
