// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"context"
	"errors"
	"maps"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/result"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/filter/tag"
)

// asking is what a request's graylane-path begins with.
const asking = "1"

// maxReasonBytes bounds the reason of a fallback that a caller states.
const maxReasonBytes = 32

// question reads a request's graylane-path: "1" or "1;<reason>". Anything else
// asks for nothing; a reason that is no plain word is left out.
func question(v any) (reason string, asked bool) {
	s, _ := tag.Value(v)
	if s == asking {
		return "", true
	}
	reason, asked = strings.CutPrefix(s, asking+";")
	if !asked || len(reason) > maxReasonBytes || strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz-") != "" {
		return "", asked
	}
	return reason, true
}

// wayFrom says where the call was served, and what lies below.
func wayFrom(u *common.URL, reason string, below *tag.Path) string {
	var b strings.Builder
	writeName(&b, u.GetParam(constant.ApplicationKey, "unknown"))
	own := u.GetParam(tag.KeyTag, "")
	if own == "" {
		own = u.GetParam(constant.ApplicationTagKey, "")
	}
	b.WriteByte('(')
	switch {
	case own != "":
		writeName(&b, own)
	case reason != "":
		b.WriteString("base: ")
		b.WriteString(reason)
	default:
		b.WriteString("base")
	}
	b.WriteByte(')')
	if s := below.String(); s != "" {
		b.WriteString(" > ")
		b.WriteString(s)
	}
	return b.String()
}

// writeName replaces what must not stand in a header, or reads as structure.
func writeName(b *strings.Builder, s string) {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || strings.IndexByte("(),>", c) >= 0 {
			b.WriteByte('_')
		} else {
			b.WriteByte(c)
		}
	}
}

// answer puts the way into the result: on Triple into the trailer or the
// error's metadata, on dubbo into the attachments of a success whose caller can
// read them. It changes copies only: a result's attachments may be the map that
// the handler's context holds, and an error may be a variable of the program.
func answer(res result.Result, u *common.URL, way string) {
	triple := u.Protocol == constant.TriProtocol
	if err := res.Error(); err != nil {
		if triple {
			e := copyError(err)
			e.Meta().Set(tag.KeyPath, way)
			res.SetError(e)
			if attachments := res.Attachments(); attachments[tag.KeyPath] != nil { // the request's, sent back
				attachments = maps.Clone(attachments)
				delete(attachments, tag.KeyPath)
				res.SetAttachments(attachments)
			}
		}
		return
	}
	attachments := maps.Clone(res.Attachments())
	if !triple {
		if _, ok := attachments[dubboVersion].(string); !ok {
			return
		}
	}
	if attachments == nil {
		attachments = make(map[string]any, 1)
	}
	attachments[tag.KeyPath] = way
	res.SetAttachments(attachments)
}

// dubboVersion is the attachment by which dubbo's codec knows that the caller
// reads attachments of answers.
const dubboVersion = "dubbo"

// copyError returns err as the Triple error that would go over the wire anyway,
// in a copy.
func copyError(err error) *triple_protocol.Error {
	var e *triple_protocol.Error
	if !errors.As(err, &e) {
		switch { // as triple_protocol does itself
		case errors.Is(err, context.Canceled):
			return triple_protocol.NewError(triple_protocol.CodeCanceled, err)
		case errors.Is(err, context.DeadlineExceeded):
			return triple_protocol.NewError(triple_protocol.CodeDeadlineExceeded, err)
		}
		return triple_protocol.NewError(triple_protocol.CodeUnknown, err)
	}
	made := triple_protocol.NewError
	if triple_protocol.IsWireError(e) {
		made = triple_protocol.NewWireError
	}
	c := made(e.Code(), e.Unwrap())
	for _, d := range e.Details() {
		c.AddDetail(d)
	}
	for k, vs := range meta(e) {
		c.Meta()[k] = append([]string(nil), vs...)
	}
	return c
}
