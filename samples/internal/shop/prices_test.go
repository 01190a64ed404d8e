// SPDX-License-Identifier: Apache-2.0

package shop

import (
	"errors"
	"testing"
)

func TestTotal(t *testing.T) {
	for _, tc := range []struct {
		name       string
		lines      []Line
		membership string
		want       int64 // cents; -1 for ErrBadCart
	}{
		{"list price", []Line{{"tea", 2}}, None, 1560},
		{"sum of lines", []Line{{"bread", 1}, {"apple", 3}}, None, 320 + 135},
		{"gold takes 10 percent off", []Line{{"tea", 2}}, Gold, 1404},
		{"silver takes 5 percent off", []Line{{"tea", 2}}, Silver, 1482},
		{"half a cent is the customer's", []Line{{"apple", 1}}, Gold, 40}, // 40.5
		{"unknown membership is none", []Line{{"tea", 1}}, "platinum", 780},
		{"most of one article", []Line{{"pear", MaxQuantity}}, None, 60_000},
		{"one more than that", []Line{{"pear", MaxQuantity + 1}}, None, -1},
		{"nothing of an article", []Line{{"pear", 0}}, None, -1},
		{"less than nothing", []Line{{"tea", 2}, {"pear", -1}}, None, -1},
		{"no such article", []Line{{"wine", 1}}, None, -1},
		{"empty", nil, Gold, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := Total(tc.lines, tc.membership)
			if tc.want < 0 {
				if !errors.Is(err, ErrBadCart) {
					t.Fatalf("Total = %d, %v, want ErrBadCart", got, err)
				}
				return
			}
			if err != nil || got != tc.want {
				t.Errorf("Total = %d, %v, want %d", got, err, tc.want)
			}
		})
	}
}

func TestLookupMember(t *testing.T) {
	for id, want := range map[string]Member{
		"alice":  {"Alice", Gold},
		"bob":    {"Bob", Silver},
		"dave":   {"Dave", None},
		"user-7": {"user-7", None},
	} {
		if got := LookupMember(id); got != want {
			t.Errorf("LookupMember(%q) = %v, want %v", id, got, want)
		}
	}
}
