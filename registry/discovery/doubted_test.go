// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/internal/testkit/ports"
)

// TestTheLastOneOverDubbo: a provider over dubbo that was never called says by the answer
// to a question that it leaves, and is not held when the list is empty without it; nor is
// one that has ended. One that is only missing is held, and so is one that hangs.
func TestTheLastOneOverDubbo(t *testing.T) {
	extension.SetProtocol(constant.DubboProtocol, func() base.Protocol { return &fakeProtocol{base.NewBaseProtocol()} })
	for _, tc := range []struct {
		name   string
		says   string // of itself; "" with an error
		ended  bool   // nobody listens at its address
		usable bool   // after two looks
		change func(d *Directory)
	}{
		{"it leaves", "closing;a", false, false, nil},
		{"it leaves, as is heard later", "", false, false, func(d *Directory) { d.Endpoints()[0].MarkClosing() }},
		{"it has ended", "", true, false, nil},
		{"it is only missing", "other", false, true, nil},
		{"it hangs", "", false, true, nil},
		{"it is named again", "", true, true, func(d *Directory) { d.all(d.Endpoints()[0].Said()) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = l.Close() }()
			address := l.Addr().String()
			if tc.ended {
				address = ports.Dead()
			}
			bubble(t, func(t *testing.T, d *Directory) {
				d.ref.Protocol = "" // any
				u, err := common.NewURL(strings.Replace(strings.Replace(providerURL(1, "a", 100).String(), "fakep:", "dubbo:", 1), "127.0.0.1:1/", address+"/", 1))
				if err != nil {
					t.Fatal(err)
				}
				wire.fails = errors.New("reset")
				if tc.says != "" {
					wire.says["a"] = tc.says
				}
				d.all(u)
				d.all()
				if named, held := look(d); named != 1 || !held {
					t.Errorf("%d named, held %t; want the empty list held", named, held)
				}
				if tc.change != nil {
					tc.change(d)
				}
				time.Sleep(2*sweepEvery + saidTimeout)
				synctest.Wait()
				named, held := look(d)
				if (named == 1) != tc.usable || d.IsAvailable() != tc.usable {
					t.Errorf("%d named, available %t, want %t", named, d.IsAvailable(), tc.usable)
				}
				if held != (tc.usable && tc.change == nil) {
					t.Errorf("a list is held: %t", held)
				}
				if wire.asked == 0 {
					t.Error("it was not asked")
				}
			})
		})
	}
}

// look returns how many the registry names, and whether a list is held.
func look(d *Directory) (named int, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sources[0].named), d.sources[0].held != nil
}
