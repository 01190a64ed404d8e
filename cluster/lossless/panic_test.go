// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
)

// TestPanic: the call is counted out, as unknown; the panic goes on.
func TestPanic(t *testing.T) {
	r := newRig(t, constant.TriProtocol, "")
	r.nodes[0].answer = func(context.Context, base.Invocation) result.Result { panic("handler") }
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = r.call(nil)
	}()
	r.nodes[0].checkBooks(t, 1, 0, 0, 1, 0)
}
