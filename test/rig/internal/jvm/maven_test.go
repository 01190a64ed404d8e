// SPDX-License-Identifier: Apache-2.0

package jvm

import "testing"

func TestJavaRelease(t *testing.T) {
	for in, want := range map[string]int{
		`openjdk version "17.0.15" 2025-04-15`: 17,
		`java version "1.8.0_402"`:             8,
		`openjdk version "25-ea" 2025-09-16`:   25,
		`no java here`:                         0,
	} {
		if got := javaRelease(in); got != want {
			t.Errorf("javaRelease(%q) = %d, want %d", in, got, want)
		}
	}
}
