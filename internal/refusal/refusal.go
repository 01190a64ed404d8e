// SPDX-License-Identifier: Apache-2.0

// Package refusal makes the typed answer to a call that was kept from its handler.
//
// Over Triple it is an error with graylane-refused in its metadata; over the dubbo
// protocol, whose errors carry no metadata, a hessian2.GenericException of class
// graylane.NotExecuted, which Dubbo Java decodes as well.
package refusal

import (
	"errors"

	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
)

// Result is a refusal made in this process. Its type tells it from an error with the
// same look, which a handler got from somebody else and hands on.
type Result struct{ result.RPCResult }

// Texts of refusals; callers decide by the type, not by them.
var (
	errClosing    = errors.New("graylane: not executed: the instance is closing")
	errOverloaded = errors.New("graylane: not executed: the instance is overloaded")
)

// Closing refuses because the instance is leaving; mark is what its answers say of it.
// Over Triple the code is CodeUnavailable.
func Closing(triple bool, mark string) *Result {
	if !triple {
		return exception(tag.RefusedClosing)
	}
	err := triple_protocol.NewError(triple_protocol.CodeUnavailable, errClosing)
	err.Meta().Set(tag.KeyRefused, tag.RefusedClosing)
	err.Meta().Set(tag.KeyState, mark)
	return &Result{result.RPCResult{Err: err}}
}

// Overloaded refuses because of a limit. Over Triple the code is
// CodeResourceExhausted.
func Overloaded(triple bool) *Result {
	if !triple {
		return exception(tag.RefusedOverloaded)
	}
	err := triple_protocol.NewError(triple_protocol.CodeResourceExhausted, errOverloaded)
	err.Meta().Set(tag.KeyRefused, tag.RefusedOverloaded)
	return &Result{result.RPCResult{Err: err}}
}

func exception(why string) *Result {
	return &Result{result.RPCResult{Err: &hessian2.GenericException{ExceptionClass: tag.RefusedClass, ExceptionMessage: why}}}
}

// Own reports whether a result is a refusal made in this process.
func Own(r result.Result) bool {
	_, ok := r.(*Result)
	return ok
}
