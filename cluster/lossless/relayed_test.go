// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
)

// TestRelayedRefusal: a refusal that names another incarnation was not made by the
// instance that answered: its handler got it from somebody behind it and handed it on.
// It ran, so that the call is answered, sent nowhere else, and nobody is leaving.
func TestRelayedRefusal(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "", "")
	behind := newNode(t, "", "")
	for _, n := range r.nodes {
		n.answer = fails(refusalOf(constant.TriProtocol, tag.RefusedClosing, behind.e.Incarnation))
	}
	before := ReadStats()
	const calls = 20
	for range calls {
		err := r.call(nil)
		if triple_protocol.CodeOf(err) != triple_protocol.CodeUnavailable || !contains(err, tag.RefusedClosing) {
			t.Fatalf("the caller sees %v, want what the handler answered", err)
		}
	}
	if got := r.total(); got != calls {
		t.Errorf("%d attempts for %d calls", got, calls)
	}
	for _, n := range r.nodes {
		n.checkBooks(t, n.calls.Load(), n.calls.Load(), 0, 0, 0)
		if n.e.Closing() || n.e.Refusing() || n.e.Outlier() {
			t.Errorf("%s is taken to leave", n.e.Address)
		}
	}
	if behind.e.Closing() {
		t.Error("the one behind is taken to leave, which this caller does not know")
	}
	if after := ReadStats(); after.Refused != before.Refused || after.Rerouted != before.Rerouted || after.Unknown != before.Unknown {
		t.Errorf("counted %+v, before %+v", after, before)
	}
}
