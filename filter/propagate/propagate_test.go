// SPDX-License-Identifier: Apache-2.0

package propagate_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"testing"

	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/propagate"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// far is the next invoker: the handler behind the filter, or the endpoint
// behind the interceptor.
type far struct {
	base.BaseInvoker
	run func(context.Context, base.Invocation) result.Result
}

func (f *far) Invoke(ctx context.Context, inv base.Invocation) result.Result { return f.run(ctx, inv) }

func next(t testing.TB, url string, run func(context.Context, base.Invocation) result.Result) base.Invoker { //nolint:thelper // t, as in the tests that call it
	t.Helper()
	u, err := common.NewURL(url)
	if err != nil {
		t.Fatal(err)
	}
	return &far{*base.NewBaseInvoker(u), run}
}

const grayUser = "tri://127.0.0.1:1/S?application=user&dubbo.tag=gray"

// handle runs f as the handler of an inbound call, with the context that
// dubbo-go and the filter give it.
func handle(t testing.TB, inbound map[string]any, f func(context.Context)) { //nolint:thelper // t, as in the tests that call it
	t.Helper()
	ctx := context.WithValue(context.Background(), constant.AttachmentKey, inbound)
	propagate.Filter{}.Invoke(ctx, next(t, grayUser, func(ctx context.Context, _ base.Invocation) result.Result {
		f(ctx)
		return &result.RPCResult{}
	}), invocation.NewRPCInvocation("M", nil, inbound))
}

// send returns the attachments of a call made with ctx, as dubbo-go's client
// builds them, after the interceptor.
func send(t testing.TB, ctx context.Context, own map[string]any) map[string]any { //nolint:revive,thelper // t first, as in handle
	t.Helper()
	attachments := maps.Clone(own)
	if attachments == nil {
		attachments = map[string]any{}
	}
	if passed, ok := ctx.Value(constant.AttachmentKey).(map[string]any); ok {
		maps.Copy(attachments, passed)
	}
	propagate.Interceptor{}.Invoke(ctx, next(t, "tri://127.0.0.1:2/C", func(context.Context, base.Invocation) result.Result {
		return &result.RPCResult{}
	}), invocation.NewRPCInvocation("M", nil, attachments))
	return attachments
}

func TestRegistered(t *testing.T) {
	if f, ok := extension.GetFilter(propagate.Name); !ok || reflect.TypeOf(f) != reflect.TypeFor[propagate.Filter]() {
		t.Errorf("filter %s = %T, %v", propagate.Name, f, ok)
	}
	if i := cluster.GetClusterInterceptor(propagate.Name); reflect.TypeOf(i) != reflect.TypeFor[propagate.Interceptor]() {
		t.Errorf("interceptor %s = %T", propagate.Name, i)
	}
}

func TestOutgoing(t *testing.T) {
	setKeys(t, "x-user")
	both := func(s string, more ...string) map[string]any {
		m := map[string]any{tag.KeyTag: s, tag.KeyShadow: s}
		for i := 0; i < len(more); i += 2 {
			m[more[i]] = more[i+1]
		}
		return m
	}
	attach := func(m map[string]any) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return context.WithValue(ctx, constant.AttachmentKey, m) }
	}
	recolour := func(s tag.Tag) func(context.Context) context.Context {
		return func(ctx context.Context) context.Context { return tag.NewContext(ctx, s) }
	}
	for _, tc := range []struct {
		name    string
		inbound map[string]any
		change  func(context.Context) context.Context // what the handler does before it calls
		own     map[string]any                        // what call options set
		want    map[string]any
	}{
		{name: "nothing", want: map[string]any{}},
		{name: "call options stay", own: map[string]any{"timeout": "", "retries": "2"}, want: map[string]any{"timeout": "", "retries": "2"}},
		{name: "list becomes string", inbound: map[string]any{"dubbo.tag": []string{"gray"}}, want: both("gray")},
		{name: "shadow alone", inbound: map[string]any{"graylane-tag": "gray"}, want: both("gray")},
		{name: "disagreement", inbound: map[string]any{"dubbo.tag": "a", "graylane-tag": "b"}, want: both("a")},
		{name: "hostile", inbound: map[string]any{"dubbo.tag": "a b", "graylane-tag": "gray"}, want: map[string]any{}},
		{name: "recoloured", inbound: map[string]any{"dubbo.tag": []string{"gray"}, "baggage": []string{"u=1,dubbo.tag=gray"}}, change: recolour("blue"), want: both("blue", "baggage", "dubbo.tag=blue,u=1")},
		{name: "tag taken away", inbound: map[string]any{"dubbo.tag": "gray", "baggage": "dubbo.tag=gray"}, change: recolour(""), want: map[string]any{}},
		{name: "several baggage headers", inbound: map[string]any{"dubbo.tag": "gray", "baggage": []string{"u=1", "v=2"}}, want: both("gray", "baggage", "dubbo.tag=gray,u=1,v=2")},
		{name: "explicit wins", inbound: map[string]any{"dubbo.tag": "gray"}, change: attach(map[string]any{"dubbo.tag": []string{"blue"}}), want: both("blue")},
		{name: "explicit in upper case", change: attach(map[string]any{"Dubbo.Tag": "blue"}), want: both("blue")},
		{name: "lower case before upper", change: attach(map[string]any{"Dubbo.Tag": "x", "dubbo.tag": "blue"}), want: both("blue")},
		{name: "explicit, hostile", inbound: map[string]any{"dubbo.tag": "gray"}, change: attach(map[string]any{"dubbo.tag": "b lue"}), want: map[string]any{}},
		{name: "explicit empty is absent", inbound: map[string]any{"dubbo.tag": "gray"}, change: attach(map[string]any{"dubbo.tag": ""}), want: both("gray")},
		{name: "fresh attachments", inbound: map[string]any{"dubbo.tag": "gray", "x-user": []string{"7"}}, change: attach(map[string]any{}), want: both("gray", "x-user", "7")},
		{name: "carried, its own value wins", inbound: map[string]any{"x-user": "7"}, change: attach(map[string]any{"x-user": []string{"8"}}), want: map[string]any{"x-user": "8"}},
		{name: "Triple's headers", inbound: map[string]any{
			"content-type": []string{"application/grpc"}, "te": []string{"trailers"}, "user-agent": []string{"x"}, "accept-encoding": []string{"identity"},
			"grpc-timeout": []string{"1S"}, "grpc-accept-encoding": []string{"gzip"}, "timeout": []string{"4100"}, "retries": []string{"5"}, "interface": []string{"B"},
			"tri-service-group": []string{"g"}, "tri-service-version": []string{"1"}, "dubbo.force.tag": []string{"true"},
			"graylane-caller": []string{"a;1"}, "graylane-path": []string{"1"}, "graylane-state": []string{"x"}, "graylane-refused": []string{"closing"},
			"x-other": []string{"kept"},
		}, own: map[string]any{"timeout": "", "retries": ""}, want: map[string]any{"x-other": []string{"kept"}}},
		{name: "dubbo's attachments", inbound: map[string]any{
			"path": "B", "interface": "B", "group": "g", "version": "1", "timeout": "4100", "retries": "5", "dubbo": "2.0.2", "token": "secret", "generic": "true",
			"local-addr": "1:1", "remote-addr": "2:2", "async": "true", "remote.application": "a", "x-other": 7, "x-user": "7",
		}, want: map[string]any{"x-other": 7, "x-user": "7"}},
		{name: "a copy of the inbound attachments with one more", inbound: map[string]any{"group": "g", "retries": "5"}, change: attach(map[string]any{"group": "g", "retries": "5", "x": "1"}), want: map[string]any{"x": "1"}},
		{name: "call option equal to the inbound value", inbound: map[string]any{"retries": "2"}, change: attach(map[string]any{"x": "1"}), own: map[string]any{"retries": "2"}, want: map[string]any{"x": "1", "retries": "2"}},
		{name: "hop key of the call's own", inbound: map[string]any{"timeout": "4100"}, change: attach(map[string]any{"timeout": "100"}), want: map[string]any{"timeout": "100"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before := maps.Clone(tc.inbound)
			handle(t, tc.inbound, func(ctx context.Context) {
				if tc.change != nil {
					ctx = tc.change(ctx)
				}
				if got := send(t, ctx, tc.own); !reflect.DeepEqual(got, tc.want) {
					t.Errorf("sent %v, want %v", got, tc.want)
				}
			})
			if !reflect.DeepEqual(tc.inbound, before) {
				t.Errorf("the inbound attachments became %v, want %v", tc.inbound, before)
			}
		})
	}
}

func TestModes(t *testing.T) {
	old := *conf.Current()
	defer conf.Set(old)
	for mode, want := range map[conf.Mode]map[string]any{
		conf.Enforce: {"dubbo.tag": "gray", "graylane-tag": "gray"},
		conf.Observe: {"retries": "5", "graylane-tag": "gray"}, // and nothing that routes is touched
		conf.Off:     {"retries": "5"},
	} {
		c := old
		c.Mode = mode
		conf.Set(c)
		handle(t, map[string]any{"retries": "5"}, func(ctx context.Context) {
			if got := send(t, tag.NewContext(ctx, "gray"), nil); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: sent %v, want %v", mode, got, want)
			}
		})
	}
}

// TestTwice has the interceptor around itself, as nested clusters do.
func TestTwice(t *testing.T) {
	inner := next(t, grayUser, func(_ context.Context, inv base.Invocation) result.Result {
		v, _ := inv.GetAttribute(constant.ResponseTrailerKey)
		*v.(*http.Header) = http.Header{"Graylane-Path": {"user(gray)"}}
		return &result.RPCResult{}
	})
	outer := next(t, grayUser, func(ctx context.Context, inv base.Invocation) result.Result {
		return propagate.Interceptor{}.Invoke(ctx, inner, inv)
	})
	ctx, path := tag.WithPath(tag.NewContext(context.Background(), "gray"))
	inv := invocation.NewRPCInvocation("M", nil, map[string]any{})
	inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
	propagate.Interceptor{}.Invoke(ctx, outer, inv)
	if got := path.String(); got != "user(gray)" {
		t.Errorf("way = %q, want user(gray) once", got)
	}
	if got, want := inv.Attachments(), map[string]any{"dubbo.tag": "gray", "graylane-tag": "gray"}; !reflect.DeepEqual(got, want) {
		t.Errorf("sent %v, want %v", got, want)
	}
}

var errShared = triple_protocol.NewError(triple_protocol.CodeNotFound, errors.New("no such order"))

func TestAnswer(t *testing.T) {
	for _, tc := range []struct {
		name, url, ask, below string
		res                   result.RPCResult
		want                  string // "" for no way
	}{
		{name: "not asked", url: grayUser},
		{name: "unknown question", url: grayUser, ask: "2"},
		{name: "tag", url: grayUser, ask: "1;no-instance", want: "user(gray)"},
		{name: "base", url: "tri://h:1/S?application=cart", ask: "1", want: "cart(base)"},
		{name: "reason", url: "tri://h:1/S?application=cart", ask: "1;no-instance", want: "cart(base: no-instance)"},
		{name: "hostile reason", url: "tri://h:1/S?application=cart", ask: "1;a) > b(", want: "cart(base)"},
		{name: "long reason", url: "tri://h:1/S?application=cart", ask: "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", want: "cart(base)"},
		{name: "below", url: grayUser, ask: "1", below: "cart(base)", want: "user(gray) > cart(base)"},
		{name: "odd name", url: "tri://h:1/S?application=a%20b%28", ask: "1", want: "a_b_(base)"},
		{name: "dubbo without version", url: "dubbo://h:1/S?application=cart", ask: "1"},
		{name: "dubbo", url: "dubbo://h:1/S?application=cart", ask: "1", res: result.RPCResult{Attrs: map[string]any{"dubbo": "2.0.2"}}, want: "cart(base)"},
		{name: "dubbo error", url: "dubbo://h:1/S?application=cart", ask: "1", res: result.RPCResult{Err: errShared}},
		{name: "Triple error", url: grayUser, ask: "1", res: result.RPCResult{Err: fmt.Errorf("get: %w", errShared)}, want: "user(gray)"},
		{name: "plain error", url: grayUser, ask: "1", res: result.RPCResult{Err: errors.New("boom")}, want: "user(gray)"},
		{name: "deadline", url: grayUser, ask: "1", res: result.RPCResult{Err: context.DeadlineExceeded}, want: "user(gray)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inbound := map[string]any{}
			if tc.ask != "" {
				inbound[tag.KeyPath] = []string{tc.ask}
			}
			attrs := maps.Clone(tc.res.Attrs)
			in := tc.res
			got := propagate.Filter{}.Invoke(context.Background(), next(t, tc.url, func(ctx context.Context, _ base.Invocation) result.Result {
				tag.PathFrom(ctx).Add(tc.below)
				return &in
			}), invocation.NewRPCInvocation("M", nil, inbound))
			way, _ := tag.Value(got.Attachments()[tag.KeyPath])
			var e *triple_protocol.Error
			if err := got.Error(); errors.As(err, &e) && e != errShared {
				way = e.Meta().Get(tag.KeyPath)
				if !errors.Is(err, errors.Unwrap(errShared)) && !errors.Is(err, tc.res.Err) {
					t.Errorf("error = %v, want one that is still %v", err, tc.res.Err)
				}
				if want := triple_protocol.CodeOf(tc.res.Err); errors.Is(tc.res.Err, context.DeadlineExceeded) && e.Code() != triple_protocol.CodeDeadlineExceeded || !errors.Is(tc.res.Err, context.DeadlineExceeded) && e.Code() != want {
					t.Errorf("code = %v, want %v", e.Code(), want)
				}
			}
			if way != tc.want {
				t.Errorf("way = %q, want %q", way, tc.want)
			}
			if !reflect.DeepEqual(tc.res.Attrs, attrs) {
				t.Errorf("the result's own attachments became %v, want %v: they may be the handler's", tc.res.Attrs, attrs)
			}
		})
	}
	if got := errShared.Meta().Get(tag.KeyPath); got != "" {
		t.Errorf("a shared error holds the way %q", got)
	}
}

func TestWayOfTheAnswer(t *testing.T) {
	trailer := func(values ...string) http.Header { return http.Header{"Graylane-Path": values} }
	for _, tc := range []struct {
		name    string
		trailer http.Header
		res     func() *result.RPCResult
		want    string
	}{
		{name: "none", want: ""},
		{name: "trailer", trailer: trailer("user(gray)"), want: "user(gray)"},
		{name: "echo of the question", trailer: trailer("1;no-instance"), want: ""},
		{name: "echo and answer", trailer: trailer("1", "user(gray)"), want: "user(gray)"},
		{name: "dubbo", res: func() *result.RPCResult {
			return &result.RPCResult{Attrs: map[string]any{tag.KeyPath: "user(gray)"}}
		}, want: "user(gray)"},
		{name: "dubbo echo", res: func() *result.RPCResult { return &result.RPCResult{Attrs: map[string]any{tag.KeyPath: "1"}} }},
		{name: "error", res: func() *result.RPCResult {
			e := triple_protocol.NewWireError(triple_protocol.CodeBizError, errors.New("x"))
			e.Meta().Set(tag.KeyPath, "user(gray)")
			return &result.RPCResult{Err: e}
		}, want: "user(gray)"},
		{name: "hostile", trailer: trailer("a\r\nb"), want: ""},
	} {
		ctx, path := tag.WithPath(context.Background())
		inv := invocation.NewRPCInvocation("M", nil, map[string]any{})
		inv.SetAttribute(constant.CallTypeKey, constant.CallUnary)
		propagate.Interceptor{}.Invoke(ctx, next(t, grayUser, func(_ context.Context, inv base.Invocation) result.Result {
			if v, ok := inv.GetAttribute(constant.ResponseTrailerKey); ok && tc.trailer != nil {
				*v.(*http.Header) = tc.trailer
			}
			if tc.res != nil {
				return tc.res()
			}
			return &result.RPCResult{}
		}), inv)
		if got := path.String(); got != tc.want {
			t.Errorf("%s: way = %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestRefusalEndsHere: a handler that returns its own call's refusal as its
// error must not look like one that never ran.
func TestRefusalEndsHere(t *testing.T) {
	refused := triple_protocol.NewWireError(triple_protocol.CodeUnavailable, errors.New("closing"))
	refused.Meta().Set(tag.KeyRefused, tag.RefusedClosing)
	refused.Meta().Set(tag.KeyState, "closing;0123456789abcdef")
	refused.Meta().Set("x-user", "kept")
	for _, err := range []error{refused, &hessian2.GenericException{ExceptionClass: tag.RefusedClass, ExceptionMessage: "closing"}} {
		got := propagate.Interceptor{}.Invoke(context.Background(), next(t, grayUser, func(context.Context, base.Invocation) result.Result {
			return &result.RPCResult{Err: err}
		}), invocation.NewRPCInvocation("M", nil, nil)).Error()
		var e *triple_protocol.Error
		var g *hessian2.GenericException
		switch {
		case errors.As(got, &e):
			if e.Meta().Get(tag.KeyRefused)+e.Meta().Get(tag.KeyState) != "" || e.Meta().Get("x-user") != "kept" || e.Code() != triple_protocol.CodeUnavailable {
				t.Errorf("%v with %v", e, e.Meta())
			}
		case errors.As(got, &g):
			if g.ExceptionClass == tag.RefusedClass || g.ExceptionMessage != "closing" {
				t.Errorf("exception %v", g)
			}
		default:
			t.Errorf("error %T %v", got, got)
		}
	}
}

// TestAllocations counts what the two parts add. The far side returns a shared
// result, so it costs nothing itself.
func TestAllocations(t *testing.T) {
	res := &result.RPCResult{}
	to := next(t, grayUser, func(context.Context, base.Invocation) result.Result { return res })
	bare := invocation.NewRPCInvocation("M", nil, map[string]any{"timeout": "", "retries": ""})
	in := invocation.NewRPCInvocation("M", nil, map[string]any{"content-type": []string{"x"}})
	tagged := tag.NewContext(context.Background(), "gray")
	again := invocation.NewRPCInvocation("M", nil, map[string]any{"dubbo.tag": "gray", "graylane-tag": "gray"})
	for _, tc := range []struct {
		name string
		want float64
		run  func()
	}{
		{"interceptor, no tag", 0, func() { propagate.Interceptor{}.Invoke(context.Background(), to, bare) }},
		{"interceptor, tag there already", 0, func() { propagate.Interceptor{}.Invoke(tagged, to, again) }},
		{"filter, no tag", 1, func() { propagate.Filter{}.Invoke(context.Background(), to, in) }}, // the context
	} {
		if got := testing.AllocsPerRun(200, tc.run); got != tc.want {
			t.Errorf("%s: %v allocations, want %v", tc.name, got, tc.want)
		}
	}
}

func BenchmarkInterceptor(b *testing.B) {
	res := &result.RPCResult{}
	to := next(b, grayUser, func(context.Context, base.Invocation) result.Result { return res })
	for name, ctx := range map[string]context.Context{"untagged": context.Background(), "tagged": tag.NewContext(context.Background(), "gray")} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			attachments := make(map[string]any, 8)
			inv := invocation.NewRPCInvocation("M", nil, attachments)
			for b.Loop() {
				clear(attachments)
				attachments["timeout"], attachments["retries"] = "", ""
				propagate.Interceptor{}.Invoke(ctx, to, inv)
			}
		})
	}
}
