// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"context"
	"net/http"
	"reflect"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/filter/tag"
)

type inboundKey struct{}

// inbound is the context of one answered call, and what is remembered of it.
// It is a context itself, which saves an allocation.
type inbound struct {
	context.Context
	attachments map[string]any // as the transport delivered them; read only
	tag         tag.Tag
	carried     []carried   // values of propagate.keys
	answered    atomic.Bool // the handler has returned
}

// carried is one further key; the value is a string, boxed once for all calls.
type carried struct {
	key   string
	value any
}

// Value hides Triple's header maps once the handler has returned. From then on
// the transport fills them with the trailers of the answer; a goroutine that
// kept the context would send those to the next hop, and race with it.
func (in *inbound) Value(key any) any {
	if key == (inboundKey{}) {
		return in
	}
	v := in.Context.Value(key)
	if in.answered.Load() {
		if _, headers := v.(map[string]http.Header); headers {
			return nil
		}
	}
	return v
}

func inboundOf(ctx context.Context) *inbound {
	in, _ := ctx.Value(inboundKey{}).(*inbound)
	return in
}

// leaks tells which attachments of an outgoing call are there only because
// the context was passed on. The zero value knows of none.
type leaks struct {
	inbound map[string]any // what the call being answered came with
	passed  map[string]any // what dubbo-go copied into the outgoing call
}

func leaksOf(ctx context.Context, in *inbound) leaks {
	if in == nil {
		return leaks{}
	}
	passed, _ := ctx.Value(constant.AttachmentKey).(map[string]any)
	if len(passed) == 0 {
		return leaks{}
	}
	return leaks{inbound: in.attachments, passed: passed}
}

// has reports whether the outgoing value v of key is the inbound one. A value
// that equals it, but is not in the context's attachments, was set by the code
// that makes the call (by a call option, say).
func (l leaks) has(key string, v any) bool {
	if l.passed == nil {
		return false
	}
	was, ok := l.inbound[key]
	if !ok || !same(v, was) {
		return false
	}
	p, ok := l.passed[key]
	return ok && same(v, p)
}

// same compares two attachments without panicking on types that do not compare.
func same(a, b any) bool {
	switch a := a.(type) {
	case string:
		b, ok := b.(string)
		return ok && a == b
	case []string:
		b, ok := b.([]string)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(a, b)
}
