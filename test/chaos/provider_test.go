// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/server"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/graylane/graylane/registry/lifecycle"
)

// Handler is the service (exported, or dubbo-go refuses it).
type Handler struct{ spec spec }

// Reference names the service.
func (h *Handler) Reference() string { return h.spec.service() }

// Call says that it runs, works for as long as it is told, and answers who it is.
func (h *Handler) Call(_ context.Context, in string) (string, error) {
	r, err := parseRequest(in)
	if err != nil {
		return "", err
	}
	say(fmt.Sprintf("%s%s %d", sayExec, r.id, time.Now().UnixNano()))
	time.Sleep(r.work)
	return h.spec.Name, nil
}

func (s spec) info() *common.ServiceInfo {
	return &common.ServiceInfo{InterfaceName: s.service(), Methods: []common.MethodInfo{{
		Name: "Call", Type: constant.CallUnary,
		ReqInitFunc: func() any { return new(wrapperspb.StringValue) },
		MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
			out, err := h.(*Handler).Call(ctx, args[0].(*wrapperspb.StringValue).GetValue())
			if err != nil {
				return nil, err
			}
			return triple_protocol.NewResponse(wrapperspb.String(out)), nil
		},
	}}}
}

// signalLost has a provider lose its node.
const signalLost = syscall.SIGUSR1

// loseNode waits for signalLost. From then on no packet reaches this process, old
// connections and new ones alike, and it sends none: for all others, the registry
// among them, its node is off.
func (s spec) loseNode() {
	lost := make(chan os.Signal, 1)
	signal.Notify(lost, signalLost)
	<-lost
	fail(dropPackets())
	say(sayLost)
	fail(syscall.Kill(os.Getpid(), syscall.SIGSTOP))
}

func (s spec) provide() {
	srv, err := s.instance().NewServer()
	fail(err)
	if s.Protocol == "tri" {
		fail(srv.Register(&Handler{s}, s.info(), server.WithInterface(s.service())))
	} else {
		fail(srv.RegisterService(&Handler{s}, server.WithInterface(s.service()), server.WithSerialization(constant.Hessian2Serialization)))
	}
	go func() {
		for !lifecycle.Ready() { // as a readiness probe would
			time.Sleep(5 * time.Millisecond)
		}
		say(fmt.Sprintf("%s%d", sayBorn, lifecycle.StartTime().UnixNano()))
		say(sayReady)
	}()
	go s.loseNode()
	fail(srv.Serve())
	select {} // a signal ends the process
}
