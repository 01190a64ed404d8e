// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// TestStreams: never rerouted after a refusal, and nothing is written for them
// that asks for reroutes.
func TestStreams(t *testing.T) {
	for _, kind := range []string{constant.CallClientStream, constant.CallServerStream, constant.CallBidiStream} {
		r := newRig(t, constant.TriProtocol, "", "")
		for _, n := range r.nodes {
			n.refuses(constant.TriProtocol, tag.RefusedClosing)
		}
		inv := call1("Watch", nil)
		inv.SetAttribute(constant.CallTypeKey, kind)
		if err := r.Invoke(context.Background(), inv).Error(); judge(err).outcome != endpoint.Refused {
			t.Errorf("%s: %v, want the refusal", kind, err)
		}
		if got := r.total(); got != 1 {
			t.Errorf("%s: %d attempts, want 1", kind, got)
		}
		for _, n := range r.nodes {
			for _, told := range n.told {
				if told[tag.KeyCaller] != nil {
					t.Errorf("%s: told %v", kind, told)
				}
			}
		}
	}
}
