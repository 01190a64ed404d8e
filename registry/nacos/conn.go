// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	wire "github.com/nacos-group/nacos-sdk-go/v2/api/grpc"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_response"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/graylane/graylane/internal/center"
)

const (
	connectTimeout = 3 * time.Second // one attempt at one server
	operation      = 3 * time.Second // one background request, so that a dead Nacos is noticed
	healthEvery    = 5 * time.Second // as the SDK does; the server drops a client that is silent for 20 s
	maxMessage     = 64 << 20        // a list of 100,000 instances
	readyPause     = 20 * time.Millisecond
)

// conn is one connection to one server. All that was registered and subscribed
// over it ends with it.
type conn struct {
	server   string // HTTP address
	grpc     *grpc.ClientConn
	requests wire.RequestClient
	cancel   context.CancelFunc
	broken   chan struct{} // closed when it is of no use any more
	once     sync.Once
	ended    chan struct{} // closed when the reader has ended
}

// open connects to the server and returns when it takes requests. push is called
// with every list that the server sends, from one goroutine.
func open(ctx context.Context, server string, push func(*conn, *model.Service)) (*conn, error) {
	ctx, stop := context.WithTimeout(ctx, connectTimeout)
	defer stop()
	cc, err := grpc.NewClient("passthrough:///"+grpcAddress(server),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 60 * time.Second, Timeout: 20 * time.Second, PermitWithoutStream: true}))
	if err != nil {
		return nil, err
	}
	life, cancel := context.WithCancel(context.Background())
	c := &conn{server: server, grpc: cc, requests: wire.NewRequestClient(cc), cancel: cancel, broken: make(chan struct{}), ended: make(chan struct{})}
	stream, err := c.setUp(ctx, life)
	if err != nil {
		cancel()
		_ = cc.Close() // reports only that it is closed already
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	go c.read(stream, push)
	if err := c.settle(ctx, func() error { _, err := call(ctx, c.requests, rpc_request.NewHealthCheckRequest()); return err }); err != nil {
		c.close()
		return nil, fmt.Errorf("connect to %s: %w", server, err)
	}
	return c, nil
}

// setUp waits until the server has started, opens the stream of pushes and
// introduces the client.
func (c *conn) setUp(ctx, life context.Context) (wire.BiRequestStream_RequestBiStreamClient, error) {
	if err := c.settle(ctx, func() error {
		_, err := call(ctx, c.requests, &rpc_request.ServerCheckRequest{InternalRequest: rpc_request.NewInternalRequest()})
		return err
	}); err != nil {
		return nil, err
	}
	stream, err := wire.NewBiRequestStreamClient(c.grpc).RequestBiStream(life)
	if err != nil {
		return nil, err
	}
	hello := rpc_request.NewConnectionSetupRequest()
	hello.ClientVersion = clientVersion
	hello.Labels = map[string]string{"source": "sdk", "module": "naming"}
	p, err := payload(hello.GetRequestType(), hello.GetHeaders(), hello)
	if err != nil {
		return nil, err
	}
	return stream, stream.Send(p)
}

// settle repeats a request for as long as the server says that it is not ready: it
// takes a moment to start, and to know a new connection.
func (c *conn) settle(ctx context.Context, request func() error) error {
	for {
		err := request()
		var no *refusal
		if err == nil || !errors.As(err, &no) || no.code < codeNotReady || no.code >= codeNotReady+100 {
			return err
		}
		center.Wait(ctx, readyPause, nil)
		if ctx.Err() != nil || !c.alive() {
			return err
		}
	}
}

// request sends r. An answer that says that the connection is of no use ends it.
func (c *conn) request(ctx context.Context, r rpc_request.IRequest) (*answer, error) {
	a, err := call(ctx, c.requests, r)
	var no *refusal
	if errors.As(err, &no) && no.code == codeUnregistered {
		c.giveUp()
	}
	return a, err
}

// healthy asks the server whether it still knows this connection.
func (c *conn) healthy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, operation)
	defer cancel()
	_, err := c.request(ctx, rpc_request.NewHealthCheckRequest())
	return err
}

func (c *conn) giveUp() { c.once.Do(func() { close(c.broken) }) }

// alive reports whether the connection has not been given up.
func (c *conn) alive() bool {
	select {
	case <-c.broken:
		return false
	default:
		return true
	}
}

// close ends the connection and waits for its goroutine.
func (c *conn) close() {
	c.giveUp()
	c.cancel()
	_ = c.grpc.Close() // reports only that it is closed already
	<-c.ended
}

// read handles what the server sends until the connection ends.
func (c *conn) read(stream wire.BiRequestStream_RequestBiStreamClient, push func(*conn, *model.Service)) {
	defer close(c.ended)
	defer c.giveUp()
	for {
		p, err := stream.Recv()
		if err != nil {
			return
		}
		reply := c.handle(p, push)
		if reply == nil {
			continue
		}
		if err := stream.Send(reply); err != nil {
			return
		}
	}
}

// handle carries out one request of the server and returns the acknowledgement.
func (c *conn) handle(p *wire.Payload, push func(*conn, *model.Service)) *wire.Payload {
	var r struct {
		RequestID   string        `json:"requestId"`
		ServiceInfo model.Service `json:"serviceInfo"`
	}
	if err := json.Unmarshal(p.GetBody().GetValue(), &r); err != nil {
		return nil
	}
	var kind string
	switch p.GetMetadata().GetType() {
	case "NotifySubscriberRequest":
		push(c, &r.ServiceInfo)
		kind = "NotifySubscriberResponse"
	case "ClientDetectionRequest":
		kind = "ClientDetectionResponse"
	case "ConnectResetRequest": // it wants us to go elsewhere, when it stops or balances
		c.giveUp()
		kind = "ConnectResetResponse"
	default:
		return nil
	}
	reply, err := payload(kind, nil, rpc_response.Response{ResultCode: 200, Success: true, RequestId: r.RequestID})
	if err != nil {
		return nil
	}
	return reply
}
