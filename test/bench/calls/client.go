// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/HdrHistogram/hdrhistogram-go"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// stub is the client side of the service that a proxy calls.
type stub struct {
	Call func(ctx context.Context, in string) (string, error)
}

// Reference names the service.
func (*stub) Reference() string { return dubboService }

// call takes turns as it is told, until nobody talks to it any more.
func (r role) call(in *json.Decoder) {
	cli, err := instance().NewClient()
	check(err)
	var once func(context.Context) error
	if r.Protocol == "dubbo" {
		s := &stub{}
		_, err = cli.NewService(s, client.WithProtocolDubbo(), client.WithInterface(dubboService), client.WithSerialization(constant.Hessian2Serialization))
		check(err)
		once = func(ctx context.Context) error {
			out, err := s.Call(ctx, payload)
			return errors.Join(err, answers(out))
		}
	} else {
		conn, err := cli.DialWithInfo(triService, &client.ClientInfo{InterfaceName: triService, MethodNames: []string{"Call"}})
		check(err)
		once = func(ctx context.Context) error {
			out := new(wrapperspb.StringValue)
			err := conn.CallUnary(ctx, []any{wrapperspb.String(payload)}, out, "Call")
			return errors.Join(err, answers(out.GetValue()))
		}
	}
	r.reachAll(once)
	for {
		var o order
		err := in.Decode(&o)
		if errors.Is(err, io.EOF) {
			os.Exit(0)
		}
		check(err)
		said, err := json.Marshal(o.take(once))
		check(err)
		say(string(said))
	}
}

// reachAll has connections made to all providers before anything is measured:
// both sides draw at random, so that ten calls a provider miss one in 20,000.
func (r role) reachAll(once func(context.Context) error) {
	for range 10 * len(r.Providers) {
		if err := once(context.Background()); err != nil {
			time.Sleep(time.Millisecond) // the first connection, mostly
		}
	}
}

// take makes calls for a while, in a closed loop.
func (o order) take(once func(context.Context) error) turn {
	var (
		t        turn
		all      = newHistogram()
		mu       sync.Mutex
		workers  sync.WaitGroup
		failed   atomic.Pointer[string]
		began    = time.Now()
		deadline = began.Add(o.Length)
	)
	for range o.Width {
		workers.Go(func() {
			own := newHistogram()
			for at := time.Now(); at.Before(deadline) && failed.Load() == nil; {
				if err := once(context.Background()); err != nil {
					text := fmt.Sprintf("a call failed: %v", err)
					failed.Store(&text)
					return
				}
				now := time.Now()
				_ = own.RecordValue(min(now.Sub(at), longest).Nanoseconds())
				at = now
			}
			mu.Lock()
			defer mu.Unlock()
			all.Merge(own)
		})
	}
	workers.Wait()
	t.Seconds = time.Since(began).Seconds()
	t.Calls, t.P50, t.P99 = all.TotalCount(), all.ValueAtQuantile(50), all.ValueAtQuantile(99)
	if text := failed.Load(); text != nil {
		t.Failure = *text
	} else if t.Calls == 0 {
		t.Failure = "no call ended in time"
	}
	return t
}

// longest is what a longer call counts as.
const longest = 10 * time.Second

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1000, longest.Nanoseconds(), 3)
}
