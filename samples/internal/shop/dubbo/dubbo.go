// SPDX-License-Identifier: Apache-2.0

// Package dubbo starts and stops dubbo-go for the shop's programs. It imports
// the parts of dubbo-go that they use.
package dubbo

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/samples/internal/shop"
)

// Load starts dubbo-go with the file at path: it connects the clients and
// serves the handlers that were set before. dubbo-go reports some faults of
// the file by a panic; they come back as errors.
//
// The channel is closed when the process has been told to stop (SIGTERM,
// SIGINT), has finished what it was doing and has closed its servers and
// clients: then main returns. To wait for graceful_shutdown.Done instead would
// take a minute longer: dubbo-go v3.3.2 adds a callback in dubbo.Load that
// never returns (it waits for its file watcher, counted twice) and that is
// given up after 60 s. Ours stands before it.
func Load(path string) (stopped <-chan struct{}, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("configuration %s: %v", path, r)
		}
	}()
	c := make(chan struct{})
	if err := serveReady(); err != nil {
		return nil, err
	}
	extension.AddCustomShutdownCallback(sync.OnceFunc(func() { close(c) }))
	if err := dubbo.Load(dubbo.WithPath(path)); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Failed turns the error of a call to service into the error that this
// program answers with: the code survives, the metadata does not, for that
// speaks of the failed call only. Unless the fault is the client's, it is
// logged.
func Failed(requestID, service string, err error) error {
	c, text := code(err), err.Error()
	if c != triple.CodeInvalidArgument && c != triple.CodeNotFound {
		shop.LogCallFailed(requestID, service, err)
	}
	if te := (*triple.Error)(nil); errors.As(err, &te) {
		text = te.Message() // without the code, which is said once
	}
	return triple.NewError(c, errors.New(service+": "+text))
}

// code is the code of err, also where it is this side's own deadline.
func code(err error) triple.Code {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return triple.CodeDeadlineExceeded
	case errors.Is(err, context.Canceled):
		return triple.CodeCanceled
	default:
		return triple.CodeOf(err)
	}
}
