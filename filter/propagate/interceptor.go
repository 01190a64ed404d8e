// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo/hessian2"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/hop"
	"github.com/graylane/graylane/internal/refusal"
	"github.com/graylane/graylane/internal/told"
)

var _ cluster.Interceptor = Interceptor{}

// Interceptor is the caller's part. It may run more than once for a call, as it
// does where clusters are nested. The zero value is ready to use.
type Interceptor struct{}

// Invoke writes the wanted tag and the carried keys into the invocation, makes
// the call, and notes the way that the answer tells.
func (Interceptor) Invoke(ctx context.Context, next base.Invoker, inv base.Invocation) result.Result {
	c := conf.Current()
	switch c.Mode {
	case conf.Off:
		return next.Invoke(ctx, inv)
	case conf.Observe:
		observe(ctx, inv)
	}
	p := tag.PathFrom(ctx)
	if c.Mode != conf.Observe {
		known, plain := enforce(ctx, inv, c.Propagate.Keys)
		if plain && p == nil {
			if i, ok := next.(told.Invoker); ok {
				res := i.InvokeTold(ctx, inv, known)
				ownError(res)
				return res
			}
		}
	}
	noted := p == nil
	if !noted {
		_, noted = inv.GetAttribute(notedKey)
	}
	if noted {
		res := next.Invoke(ctx, inv)
		ownError(res)
		return res
	}
	inv.SetAttribute(notedKey, true)
	trailer := trailerOf(inv)
	res := next.Invoke(ctx, inv)
	p.Add(wayIn(res, trailer))
	ownError(res)
	return res
}

// notedKey marks an invocation whose way an outer interceptor will note.
const notedKey = Name + "-noted"

// observe writes the tag under the key that no part of dubbo-go looks at.
func observe(ctx context.Context, inv base.Invocation) {
	if t := tag.FromContext(ctx); t != "" {
		inv.SetAttachment(tag.KeyShadow, t.String())
	} else if inv.GetAttachmentInterface(tag.KeyShadow) != nil {
		delete(inv.Attachments(), tag.KeyShadow)
	}
}

// enforce writes the wanted tag and the carried keys. plain says that the attachments
// held nothing but dubbo-go's own and the tag; then known is true of them.
func enforce(ctx context.Context, inv base.Invocation, keys []string) (known told.Call, plain bool) {
	in := inboundOf(ctx)
	attachments := inv.Attachments()
	own, present := attachments[tag.KeyTag]
	if in == nil { // an ingress, mostly: nothing can have leaked
		if timeout, only := onlyOwn(attachments, present); only {
			want := plainTag(ctx, inv, attachments, own, present)
			return told.Call{Attachments: attachments, Tag: want.String(), Timeout: timeout}, attachments != nil
		}
	}
	l := leaksOf(ctx, in)
	want, set := tag.Tag(""), false
	speaks := false // the attachments name a tag under any key
	for k, v := range attachments {
		switch {
		case k == tag.KeyShadow || k == tag.Baggage:
			speaks = true
		case k == tag.KeyTag:
			speaks = true
			if s, ok := tag.Value(v); ok && !l.has(k, v) {
				want, set = tag.Accept(k, s), true
			}
		case len(k) == len(tag.KeyTag) && strings.EqualFold(k, tag.KeyTag):
			// On Triple the two would become one header, in random order.
			if s, ok := tag.Value(v); ok && !set && attachments[tag.KeyTag] == nil {
				want, set = tag.Accept(k, s), true
			}
			delete(attachments, k)
		case l.passed != nil && hop.Local(k) && l.has(k, v):
			delete(attachments, k)
		}
	}
	if !set {
		want = tag.FromContext(ctx)
	}
	if want != "" || speaks {
		writeTag(inv, attachments, want)
	}
	if in != nil {
		for _, c := range in.carried {
			if v, ok := attachments[c.key]; !ok || l.has(c.key, v) {
				inv.SetAttachment(c.key, c.value)
			}
		}
	}
	for _, k := range keys {
		if v, ok := attachments[k]; ok {
			if _, isString := v.(string); !isString {
				if s, ok := tag.Value(v); ok {
					inv.SetAttachment(k, s)
				}
			}
		}
	}
	return told.Call{}, false
}

// plainTag writes the tag of a call whose attachments name none under another key than
// its own, where own is present.
func plainTag(ctx context.Context, inv base.Invocation, attachments map[string]any, own any, present bool) tag.Tag {
	s, isString := own.(string)
	if isString && s != "" {
		want := tag.Accept(tag.KeyTag, s)
		if want.String() == s {
			attachments[tag.KeyShadow] = own // boxed already
			return want
		}
		writeTag(inv, attachments, want)
		return want
	}
	want := tag.Tag("")
	if s, set := tag.Value(own); set {
		want = tag.Accept(tag.KeyTag, s)
	} else if want = tag.FromContext(ctx); want == "" && !present {
		return want
	}
	writeTag(inv, attachments, want)
	return want
}

// onlyOwn reports that the attachments hold nothing but what dubbo-go itself puts
// into every call, and the tag under its own name if it is present: look-ups
// instead of a walk through the map. timeout is what they say of that.
func onlyOwn(attachments map[string]any, present bool) (timeout string, only bool) {
	others := len(attachments)
	if present {
		others--
	}
	if v, ok := attachments[constant.TimeoutKey]; ok {
		others--
		timeout, _ = tag.Value(v)
	}
	if others == 1 {
		if _, ok := attachments[constant.RetriesKey]; ok {
			others--
		}
	}
	return timeout, others == 0
}

// writeTag makes the attachments say want under every key that names a tag.
func writeTag(inv base.Invocation, attachments map[string]any, want tag.Tag) {
	if want == "" {
		delete(attachments, tag.KeyTag)
		delete(attachments, tag.KeyShadow)
	} else {
		var boxed any
		for _, key := range [...]string{tag.KeyTag, tag.KeyShadow} {
			v := attachments[key]
			if s, ok := v.(string); ok && s == want.String() {
				boxed = v
				continue
			}
			if boxed == nil {
				boxed = want.String()
			}
			if attachments == nil {
				inv.SetAttachment(key, boxed)
			} else { // until it is sent, a call has one goroutine: no need for the lock
				attachments[key] = boxed
			}
		}
	}
	if v, ok := attachments[tag.Baggage]; ok {
		header, _ := tag.Value(v)
		if list, ok := v.([]string); ok && len(list) > 1 {
			header = strings.Join(list, ",")
		}
		if header != "" && tag.InBaggage(header) != want.String() {
			if merged := tag.MergeBaggage(header, want); merged != "" {
				inv.SetAttachment(tag.Baggage, merged)
			} else {
				delete(attachments, tag.Baggage)
			}
		}
	}
}

// trailerOf returns where the trailer of a unary call will be, nil for others.
// dubbo ignores it.
func trailerOf(inv base.Invocation) *http.Header {
	if v, ok := inv.GetAttribute(constant.ResponseTrailerKey); ok {
		h, _ := v.(*http.Header)
		return h
	}
	if v, ok := inv.GetAttribute(constant.CallTypeKey); !ok || v != constant.CallUnary {
		return nil
	}
	h := new(http.Header)
	inv.SetAttribute(constant.ResponseTrailerKey, h)
	return h
}

// wayIn finds the way that an answer tells, "" if it tells none. dubbo-go's proxy
// path sends the request's attachments back with the answer, so what reads as a
// question is no answer.
func wayIn(res result.Result, trailer *http.Header) string {
	if err := res.Error(); err != nil {
		var e *triple_protocol.Error
		if errors.As(err, &e) {
			return firstAnswer(meta(e).Values(tag.KeyPath))
		}
		return ""
	}
	if trailer != nil {
		if way := firstAnswer(trailer.Values(tag.KeyPath)); way != "" {
			return way
		}
	}
	s, _ := tag.Value(res.Attachments()[tag.KeyPath])
	return firstAnswer([]string{s})
}

func firstAnswer(ways []string) string {
	for _, way := range ways {
		if way != asking && !strings.HasPrefix(way, asking+";") {
			return way
		}
	}
	return ""
}

// ownError takes out of an error what it says about the endpoint called. The
// cluster has read it; a handler that returns the error would else tell its own
// caller that it had refused the call, and so never run.
func ownError(res result.Result) {
	err := res.Error()
	if err == nil || refusal.Own(res) {
		return
	}
	var e *triple_protocol.Error
	if errors.As(err, &e) {
		for _, key := range [...]string{tag.KeyRefused, tag.KeyState, tag.KeyPath} {
			if m := meta(e); m.Get(key) != "" { // so it came with the answer, and is this call's alone
				m.Del(key)
			}
		}
		return
	}
	var g *hessian2.GenericException
	if errors.As(err, &g) && g.ExceptionClass == tag.RefusedClass {
		res.SetError(&hessian2.GenericException{ExceptionClass: rpcException, ExceptionMessage: g.ExceptionMessage})
	}
}

// rpcException is what Dubbo Java throws when no provider took the call.
const rpcException = "org.apache.dubbo.rpc.RpcException"

// meta returns an error's metadata without creating it in the error itself,
// which other calls may be reading.
func meta(e *triple_protocol.Error) http.Header {
	c := *e
	return c.Meta()
}
