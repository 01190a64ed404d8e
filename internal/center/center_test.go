// SPDX-License-Identifier: Apache-2.0

package center

import (
	"errors"
	"strings"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
)

func TestNew(t *testing.T) {
	wrong := errors.New("address: got \"\", want host:port")
	Register("known", func(*common.URL) (Source, error) { return nil, nil })
	Register("wrong", func(*common.URL) (Source, error) { return nil, wrong })
	for protocol, want := range map[string]struct {
		ok  bool
		err error
	}{"known": {true, nil}, "wrong": {true, wrong}, "other": {false, nil}} {
		_, ok, err := New(common.NewURLWithOptions(common.WithProtocol(protocol)))
		if ok != want.ok || !errors.Is(err, want.err) {
			t.Errorf("%s: %t, %v; want %t, %v", protocol, ok, err, want.ok, want.err)
		}
		if err != nil && !strings.Contains(err.Error(), protocol) {
			t.Errorf("%s: error %q does not name it", protocol, err)
		}
	}
}
