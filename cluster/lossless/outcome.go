// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"net"
	"strings"
	"syscall"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// Canonical forms of the wire keys, as HTTP headers have them.
const (
	headerState   = "Graylane-State"
	headerRefused = "Graylane-Refused"
)

// verdict is what an answer or an error says of the call and of the endpoint.
type verdict struct {
	outcome endpoint.Outcome
	refused string // why, for a refusal
	state   string // the provider's mark
	strike  bool   // a timeout, or an endpoint that cannot be reached: it counts against it
}

// judge tells whether a call that ended with err was executed. What is not
// proven counts as unknown.
func judge(err error) verdict {
	var t *triple_protocol.Error
	if errors.As(err, &t) {
		return judgeTriple(err, t)
	}
	if class, message, ok := exception(err); ok {
		if class == tag.RefusedClass {
			return verdict{outcome: endpoint.Refused, refused: refusal(message)}
		}
		return verdict{outcome: endpoint.Answered}
	}
	switch {
	case javaThrowable(err):
		return verdict{outcome: endpoint.Answered}
	case neverSent(err):
		return verdict{outcome: endpoint.Failed}
	case errors.Is(err, context.Canceled):
		return verdict{outcome: endpoint.Unknown}
	}
	return verdict{outcome: endpoint.Unknown, strike: true}
}

// relayed reports that a refusal names another incarnation than the one that was
// called: then a handler has handed on what somebody refused to it, and it ran.
func (v verdict) relayed(i *endpoint.Instance) bool {
	kind, incarnation, _ := strings.Cut(v.state, ";")
	return v.outcome == endpoint.Refused && i.Named() && kind == tag.StateClosing && incarnation != i.Incarnation
}

func judgeTriple(err error, t *triple_protocol.Error) verdict {
	if r := t.Meta()[headerRefused]; len(r) > 0 {
		return verdict{outcome: endpoint.Refused, refused: r[0], state: first(t.Meta()[headerState])}
	}
	if triple_protocol.IsWireError(t) { // the provider said so
		return verdict{outcome: endpoint.Answered, state: first(t.Meta()[headerState])}
	}
	if neverSent(err) {
		return verdict{outcome: endpoint.Failed}
	}
	return verdict{outcome: endpoint.Unknown, strike: t.Code() == triple_protocol.CodeDeadlineExceeded || t.Code() == triple_protocol.CodeUnavailable}
}

// neverSent reports that the request provably did not leave this process: no
// connection was made, or the client was already closed.
func neverSent(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, base.ErrClientClosed) || errors.Is(err, base.ErrDestroyedInvoker) {
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return gettyNeverSent(err.Error())
}

// gettyNeverSent knows the errors that dubbo-go's getty client returns before it
// writes. They are unexported values, so that only their text can be compared:
// dubbo-go v3.3.2 remoting/getty/getty_client.go, pool.go, remoting/exchange_client.go,
// and dubbo-getty's session.go for the last.
func gettyNeverSent(text string) bool {
	return text == "session not exist" ||
		text == "client closed" ||
		text == "client have been closed" ||
		strings.HasPrefix(text, "failed to create client connection to ") ||
		strings.HasPrefix(text, "Failed to connect server ") ||
		strings.HasSuffix(text, "session Already Closed") // before the write: the session refuses the package
}

// exception returns class and message of a typed exception of the dubbo protocol.
func exception(err error) (class, message string, ok bool) {
	var p *hessian2.GenericException
	if errors.As(err, &p) {
		return p.ExceptionClass, p.ExceptionMessage, true
	}
	var v hessian2.GenericException
	if errors.As(err, &v) {
		return v.ExceptionClass, v.ExceptionMessage, true
	}
	return "", "", false
}

// javaThrowable recognises an exception that the provider answered and that
// hessian decoded to a type of its own.
func javaThrowable(err error) bool {
	var j interface{ JavaClassName() string }
	return errors.As(err, &j) || strings.HasPrefix(err.Error(), "java exception:")
}

// refusal cuts the reason out of a refusal's message: its first word.
func refusal(message string) string {
	word, _, _ := strings.Cut(message, " ")
	return strings.TrimRight(word, ":;,")
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
