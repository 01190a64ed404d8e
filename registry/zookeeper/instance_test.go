// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"maps"
	"testing"
)

// TestForeignMetadata: peers that write numbers, null or more into the metadata are read.
func TestForeignMetadata(t *testing.T) {
	for _, tc := range []struct {
		metadata string
		want     map[string]string // nil: unreadable
	}{
		{`{}`, map[string]string{}},
		{`{"a":"text","e":""}`, map[string]string{"a": "text", "e": ""}},
		{`{"timestamp":1790000000123,"w":0.5,"big":1e3}`, map[string]string{"timestamp": "1790000000123", "w": "0.5", "big": "1e3"}},
		{`{"a":null,"b":"b"}`, map[string]string{"b": "b"}},
		{`{"a":true,"b":false}`, map[string]string{"a": "true", "b": "false"}},
		{`{"a":[1,"x"],"b":{"c":null}}`, map[string]string{"a": `[1,"x"]`, "b": `{"c":null}`}},
		{`{"a":"\u00e9\""}`, map[string]string{"a": "é\""}},
		{`null`, nil},
		{`"text"`, nil},
		{`[1]`, nil},
	} {
		i, err := decodeInstance(`{"name":"order","id":"x","address":"127.0.0.1","port":20880,"sslPort":null,"payload":{"metadata":` + tc.metadata + `}}`)
		if (err != nil) != (tc.want == nil) {
			t.Errorf("%s: %v", tc.metadata, err)
			continue
		}
		if err == nil && (!maps.Equal(i.Metadata, tc.want) || i.Host != "127.0.0.1" || i.Port != 20880) {
			t.Errorf("%s: got %v at %s:%d, want %v", tc.metadata, i.Metadata, i.Host, i.Port, tc.want)
		}
	}
}

func TestServersAreOneSession(t *testing.T) {
	one, err1 := serversOf("b:2,zookeeper://a,b:2")
	two, err2 := serversOf(" a:2181, b:2 ")
	if err1 != nil || err2 != nil || len(one) != 2 || one[0] != "a:2181" || one[1] != two[1] || two[0] != one[0] || one[1] != "b:2" {
		t.Errorf("got %v, %v and %v, %v, want a:2181 and b:2 twice", one, err1, two, err2)
	}
}
