// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"net"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/remoting"
	"dubbo.apache.org/dubbo-go/v3/remoting/getty"

	"github.com/graylane/graylane/internal/testkit/need"
)

// A connection over dubbo whose last bytes nobody acknowledges is closed soon: getty's
// close blocks a goroutine and a thread meanwhile.
//  1. A peer takes a connection and reads nothing, and its buffer is smaller than a request.
//  2. The caller gives the connection up.
//  3. Its close waits, and ends.
func TestUnacknowledgedConnectionIsClosed(t *testing.T) {
	need.Long(t, "waits for seconds")
	// 1
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		if outer := c.Control(func(fd uintptr) { err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10) }); outer != nil {
			return outer
		}
		return err
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const service = "com.shop.Deaf"
	u, err := common.NewURL("dubbo://"+l.Addr().String()+"/"+service, common.WithInterface(service), common.WithParamsValue(constant.InterfaceKey, service))
	if err != nil {
		t.Fatal(err)
	}
	ex := remoting.NewExchangeClient(u, getty.NewClient(getty.Options{ConnectTimeout: time.Second, RequestTimeout: 100 * time.Millisecond}), time.Second, false)
	if ex == nil {
		t.Fatal("no connection")
	}
	var reply string
	call := invocation.NewRPCInvocationWithOptions(invocation.WithMethodName("Call"), invocation.WithArguments([]any{strings.Repeat("x", 100<<10)}),
		invocation.WithReply(&reply), invocation.WithAttachment(constant.TimeoutKey, "100ms"))
	invoker := dubbo.NewDubboInvoker(u, ex)
	if res := invoker.Invoke(context.Background(), call); res.Error() == nil {
		t.Fatal("somebody answered")
	}

	// 2
	invoker.Destroy()

	// 3
	closing := func() bool { return strings.Contains(stacks(), "dubbo-getty.(*gettyTCPConn).CloseConn") }
	const bound = 10 * time.Second // getty notices within 1 s, and waits for 1 s
	for _, want := range []bool{true, false} {
		for end := time.Now().Add(bound); closing() != want; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("within %v it was not seen that a close waits: %v", bound, want)
			}
		}
	}
}

// stacks tells where all goroutines are.
func stacks() string {
	b := make([]byte, 4<<20)
	return string(b[:runtime.Stack(b, true)])
}
