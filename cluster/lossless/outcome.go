// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

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
	strike  bool   // a timeout, or a connection that broke: it counts against the endpoint
	down    bool   // no connection to it could be had: it is put out at once
	doubt   bool   // and it may be the connection of another process that was there before
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
	if javaThrowable(err) {
		return verdict{outcome: endpoint.Answered}
	}
	if never, down := neverSent(err, err.Error()); never {
		return verdict{outcome: endpoint.Failed, down: down, doubt: err.Error() == gettyClosed}
	}
	return verdict{outcome: endpoint.Unknown, strike: broken(err)}
}

// relayed reports that a refusal is not this instance's own: then a handler has
// handed on what somebody refused to it, and it ran. Only instances that publish an
// incarnation refuse, and those with Graylane do not relay.
func (v verdict) relayed(i *endpoint.Instance) bool {
	if v.outcome != endpoint.Refused {
		return false
	}
	kind, incarnation, _ := strings.Cut(v.state, ";")
	return !i.Named() || kind == tag.StateClosing && incarnation != i.Incarnation
}

// noSuchPath is what Triple's client says when an HTTP server has neither the service
// nor the method: the address has gone to another application, say. No handler ran. An
// answer of a handler is from the wire, whatever it says.
const noSuchPath = "HTTP status 404 "

func judgeTriple(err error, t *triple_protocol.Error) verdict {
	if r := t.Meta()[headerRefused]; len(r) > 0 {
		return verdict{outcome: endpoint.Refused, refused: r[0], state: first(t.Meta()[headerState])}
	}
	if triple_protocol.IsWireError(t) { // the provider said so
		return verdict{outcome: endpoint.Answered, state: first(t.Meta()[headerState])}
	}
	if never, down := neverSent(err, t.Message()); never {
		return verdict{outcome: endpoint.Failed, down: down, doubt: err.Error() == gettyClosed}
	}
	if t.Code() == triple_protocol.CodeUnimplemented && strings.HasPrefix(t.Message(), noSuchPath) {
		return verdict{outcome: endpoint.Failed}
	}
	return verdict{outcome: endpoint.Unknown, strike: t.Code() == triple_protocol.CodeDeadlineExceeded || t.Code() == triple_protocol.CodeUnavailable}
}

// broken reports a timeout or a connection that broke, as against a fault of the
// call itself, such as a parameter that cannot be encoded.
func broken(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &n) || err.Error() == gettyTimeout
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
// hessian decoded to a type of its own, or to none.
func javaThrowable(err error) bool {
	var j interface{ JavaClassName() string }
	text := err.Error()
	return errors.As(err, &j) || strings.HasPrefix(text, "java exception:") || strings.HasPrefix(text, "got exception:")
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
