// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"context"
	"errors"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/config_center"

	"github.com/graylane/graylane/internal/center"
)

// stuck is a factory whose attempts wait to be answered.
type stuck struct {
	begun  chan struct{}
	answer chan error
}

func (s stuck) GetDynamicConfiguration(*common.URL) (config_center.DynamicConfiguration, error) {
	s.begun <- struct{}{}
	return newUnsafe(), <-s.answer
}

// TestOpenIsBounded: dubbo-go's own set-up may hang.
//
//  1. connect returns with its context all the same
//  2. the next call waits for the same attempt, which fails
//  3. the one after makes a new one, which may come after the context has ended,
//     and is taken then.
func TestOpenIsBounded(t *testing.T) {
	s := stuck{begun: make(chan struct{}, 10), answer: make(chan error)}
	extension.SetConfigCenterFactory("stuck", func() config_center.DynamicConfigurationFactory { return s })
	w := found{
		source: center.Generic(nil, ""), name: "stuck a:1", guard: newGuard(nil), down: true,
		url: common.NewURLWithOptions(common.WithProtocol("stuck")),
	}
	try := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		return w.connect(ctx)
	}
	// 1
	if err := try(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("connect: %v, want it to end with its context", err)
	}
	<-s.begun
	// 2
	if err := try(); !errors.Is(err, context.DeadlineExceeded) || len(s.begun) != 0 {
		t.Fatalf("connect again: %v, %d further attempts; want it to wait for the one under way", err, len(s.begun))
	}
	broken := errors.New("broken")
	s.answer <- broken
	if err := w.connect(t.Context()); !errors.Is(err, broken) {
		t.Fatalf("connect: %v, want %v", err, broken)
	}
	// 3
	if err := try(); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("connect: %v, want it to end with its context", err)
	}
	<-s.begun
	s.answer <- nil
	if err := w.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.guard.now(); err != nil {
		t.Errorf("the centre is there, but not for dubbo-go: %v", err)
	}
}
