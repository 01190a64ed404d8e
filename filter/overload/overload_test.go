// SPDX-License-Identifier: Apache-2.0

package overload

import (
	"errors"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/filter"
	_ "dubbo.apache.org/dubbo-go/v3/filter/exec_limit"
	_ "dubbo.apache.org/dubbo-go/v3/filter/tps"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/refusal"
)

// full is a service whose execute limit is reached by any call.
func full(protocol, handler string) base.Invoker {
	return base.NewBaseInvoker(common.NewURLWithOptions(common.WithProtocol(protocol), common.WithInterface("shop.Cart"),
		common.WithParamsValue(constant.ExecuteLimitKey, "0"), common.WithParamsValue(constant.ExecuteRejectedExecutionHandlerKey, handler)))
}

func call(t *testing.T, i base.Invoker) result.Result {
	t.Helper()
	f, ok := extension.GetFilter(constant.ExecuteLimitFilterKey)
	if !ok {
		t.Fatal("no execute filter")
	}
	return f.Invoke(t.Context(), i, invocation.NewRPCInvocation("Get", nil, nil))
}

// TestRefused: without any setting, dubbo-go's limit refuses through ours.
func TestRefused(t *testing.T) {
	res := call(t, full(constant.TriProtocol, ""))
	var e *triple_protocol.Error
	if !errors.As(res.Error(), &e) || e.Code() != triple_protocol.CodeResourceExhausted || e.Meta().Get(tag.KeyRefused) != tag.RefusedOverloaded {
		t.Errorf("over Triple: %v", res.Error())
	}
	if !refusal.Own(res) {
		t.Error("the provider filter would book it as accepted")
	}
	res = call(t, full(constant.DubboProtocol, Name))
	var g *hessian2.GenericException
	if !errors.As(res.Error(), &g) || g.ExceptionClass != tag.RefusedClass || g.ExceptionMessage != tag.RefusedOverloaded {
		t.Errorf("over dubbo: %v", res.Error())
	}
}

// own is a handler of the user's.
type own struct{}

func (own) RejectedExecution(*common.URL, base.Invocation) result.Result {
	return &result.RPCResult{Rest: "later"}
}

// TestUsersHandler: one that the user names wins.
func TestUsersHandler(t *testing.T) {
	extension.SetRejectedExecutionHandler("test-own", func() filter.RejectedExecutionHandler { return own{} })
	defer extension.UnregisterRejectedExecutionHandler("test-own")
	if res := call(t, full(constant.TriProtocol, "test-own")); res.Result() != "later" || res.Error() != nil {
		t.Errorf("got %v, %v", res.Result(), res.Error())
	}
}

// TestOtherModes: in the modes off and observe dubbo-go's handler answers, as it
// does without Graylane.
func TestOtherModes(t *testing.T) {
	old := *conf.Current()
	defer conf.Set(old)
	for _, m := range []conf.Mode{conf.Off, conf.Observe} {
		c := conf.Default()
		c.Mode = m
		conf.Set(c)
		if res := call(t, full(constant.DubboProtocol, "")); res.Result() != nil || res.Error() != nil || refusal.Own(res) {
			t.Errorf("%s: got %v, %v; want dubbo-go's empty success", m, res.Result(), res.Error())
		}
	}
}
