// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/registry/lifecycle"
)

// work is what a handler does for an ordinary call, and for a long one.
const (
	work         = 2 * time.Millisecond
	longWork     = 8 * time.Second
	longTimeout  = 15 * time.Second
	longCalls    = 10
	besideEvery  = 10              // every tenth call goes to the second service, where there is one
	signalIdle   = syscall.SIGUSR1 // to a consumer: ends the load
	signalLonger = syscall.SIGUSR2 // to a consumer: sends longCalls long calls beside it
)

// remote makes one call and returns who answered.
type remote func(ctx context.Context, r request, timeout time.Duration) (string, error)

func (s spec) client() *client.Client {
	cli, err := s.instance().NewClient(client.WithClientRequestTimeout(s.Timeout))
	fail(err)
	return cli
}

func (s spec) dial(cli *client.Client) remote {
	opts := []client.ReferenceOption{client.WithInterface(s.service()), client.WithProtocol(s.Protocol), client.WithRetries(0)}
	if s.Protocol == "dubbo" {
		opts = append(opts, client.WithSerialization(constant.Hessian2Serialization))
	}
	conn, err := cli.DialWithInfo(s.service(), &client.ClientInfo{InterfaceName: s.service(), MethodNames: []string{"Call"}}, opts...)
	fail(err)
	return func(ctx context.Context, r request, timeout time.Duration) (string, error) {
		if s.Protocol == "tri" {
			out := new(wrapperspb.StringValue)
			err := conn.CallUnary(ctx, []any{wrapperspb.String(r.String())}, out, "Call")
			return out.GetValue(), err
		}
		var out string
		err := conn.CallUnary(ctx, []any{r.String()}, &out, "Call", client.WithCallRequestTimeout(timeout))
		return out, err
	}
}

// consume sends Rate calls a second, at their times whatever the answers do,
// until it is told to stop.
func (s spec) consume() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, signalIdle, signalLonger)
	if s.Leak {
		leak()
	}
	cli := s.client()
	send, beside := s.dial(cli), remote(nil)
	if s.Beside != "" {
		other := s
		other.Cell = s.Beside
		beside = other.dial(cli)
	}
	var calls sync.WaitGroup
	var mu sync.Mutex
	inFlight := map[string]time.Time{}
	one := func(n int, long bool) {
		c := call{ID: fmt.Sprintf("%s-%06d", s.Name, n), Long: long}
		r, timeout := request{c.ID, work}, s.Timeout
		if long {
			r.id, r.work, timeout = c.ID+"-long", longWork, longTimeout
			c.ID = r.id
		}
		send := send
		if beside != nil && n%besideEvery == 0 && !long {
			send = beside
		}
		c.Start = time.Now()
		mu.Lock()
		inFlight[c.ID] = c.Start
		mu.Unlock()
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			defer cancel()
			by, err := send(ctx, r, timeout)
			c.End, c.By = time.Now(), by
			if err != nil {
				c.Err, c.None = err.Error(), errors.Is(err, endpoint.ErrNoEndpoint)
			}
			mu.Lock()
			delete(inFlight, c.ID)
			c.Oldest = c.End
			for _, at := range inFlight {
				if at.Before(c.Oldest) {
					c.Oldest = at
				}
			}
			mu.Unlock()
			say(c.String())
		})
	}
	say(sayID + lifecycle.CallerID(s.application()))
	say(sayReady)
	start := time.Now()
	for n := 0; ; n++ {
		next := start.Add(time.Duration(n) * time.Second / time.Duration(s.Rate))
		if late := time.Since(next); late > time.Second { // it was stopped; nobody called meanwhile
			start, next = start.Add(late), next.Add(late)
		}
		select {
		case sig := <-signals:
			if sig == signalIdle {
				calls.Wait()
				say(sayIdle)
				select {} // SIGTERM ends the process
			}
			for i := range longCalls {
				one(n*longCalls+i, true)
			}
		case <-time.After(time.Until(next)):
		}
		one(n, false)
	}
}
