// SPDX-License-Identifier: Apache-2.0

// Package told hands what the interceptor has read of a call to the cluster right
// behind it, which would else look the same keys up again: each look-up in dubbo-go's
// map of a call is a fiftieth of what the call costs without a network.
//
// There is nothing to set. The interceptor tells where the next invoker is an
// [Invoker]; with another interceptor in between, which may write into the
// invocation, nobody is told anything.
package told

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
)

// Call is a call whose attachments hold nothing but what dubbo-go writes itself and
// the tag, so that they insist on nothing, and whose context does not ask for its
// way.
type Call struct {
	// Attachments are those of the invocation, never nil.
	Attachments map[string]any
	// Tag is what they want, "" for none.
	Tag string
	// Timeout is what they say under dubbo-go's key, "" for nothing.
	Timeout string
}

// Invoker is an invoker that can be told of a call.
type Invoker interface {
	// InvokeTold is Invoke for a call of which c is true. It is safe for concurrent use.
	InvokeTold(ctx context.Context, inv base.Invocation, c Call) result.Result
}
