// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/connect"
)

// open opens a bidirectional stream.
func open(t *testing.T, r *reference) *triple_protocol.BidiStreamForClient {
	t.Helper()
	inv := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Stream"), invocation.WithAttachments(map[string]any{}))
	inv.SetAttribute(constant.CallTypeKey, constant.CallBidiStream)
	res := r.Invoke(t.Context(), inv)
	if err := res.Error(); err != nil {
		t.Fatal(err)
	}
	return res.Result().(*triple_protocol.BidiStreamForClient)
}

// say sends a word and receives the next.
func say(s *triple_protocol.BidiStreamForClient, word string) (string, error) {
	if err := s.Send(wrapperspb.String(word)); err != nil {
		return "", err
	}
	out := new(wrapperspb.StringValue)
	return out.GetValue(), s.Receive(out)
}

// TestStreamRefused: the refusal of a stream comes, typed, when it is used; the
// stream goes nowhere else.
func TestStreamRefused(t *testing.T) {
	k := kind{"tri", "idl"}
	inside, release := make(chan struct{}, 1), make(chan struct{})
	limited := serve(t, k, func(context.Context, string) (string, error) {
		inside <- struct{}{}
		<-release
		return "", nil
	}, server.WithExecuteLimit("1"))
	free := serve(t, k, echo)
	e := lane(t, connect.New(k.refer(t, limited.name, limited.addr, "20s")), shutdown.Incarnation())
	r := newReference(t, k, limited.name, "20s", e)
	first := make(chan error, 1)
	go func() {
		_, err := r.call(t.Context(), "first")
		first <- err
	}()
	<-inside

	other := lane(t, connect.New(k.refer(t, free.name, free.addr, "20s")), incarnation(6000))
	other.SetOutlier(true) // so that the stream opens at the other one
	both := newReference(t, k, limited.name, "20s", e, other)
	s := open(t, both)
	other.SetOutlier(false)
	before := lossless.ReadStats()
	_, err := say(s, "x")
	var typed *triple_protocol.Error
	if !errors.As(err, &typed) || typed.Meta().Get(tag.KeyRefused) != tag.RefusedOverloaded {
		t.Errorf("the stream ends with %v, want a typed refusal", err)
	}
	if after := lossless.ReadStats(); after.Rerouted != before.Rerouted || after.Retried != before.Retried {
		t.Error("a stream was sent elsewhere")
	}
	if n := free.calls.Load(); n != 0 {
		t.Errorf("the other endpoint saw %d words", n)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
}
