// SPDX-License-Identifier: Apache-2.0

package shutdown

import (
	"maps"

	"dubbo.apache.org/dubbo-go/v3/protocol/result"

	"github.com/graylane/graylane/filter/tag"
)

// The attachment in which a dubbo caller names its protocol version, which the
// proxy echoes, and the version that dubbo-go and Dubbo Java send.
const (
	dubboVersionKey = "dubbo"
	dubboVersion    = "2.0.2"
)

// stamp puts the mark on an answer and reports whether it will reach the caller.
//
// It replaces the answer's attachments by a copy: on dubbo-go's proxy path they
// are the map that the handler has in its ctx and may be reading. The same way
// serves errors over Triple: dubbo-go sends attachments as trailer with errors
// too, and its client merges the trailer into the error's metadata. So no error
// of the handler is touched, which several calls may share.
func stamp(res result.Result, triple bool, mark string) bool {
	if res == nil {
		return false
	}
	old := res.Attachments()
	if !triple && (res.Error() != nil || !answersAttachments(old)) {
		return false
	}
	attachments := make(map[string]any, len(old)+1)
	maps.Copy(attachments, old)
	attachments[tag.KeyState] = mark
	res.SetAttachments(attachments)
	return true
}

// answersAttachments reports whether the dubbo codec will encode attachments
// with this answer: it looks for the protocol version that the caller sent.
func answersAttachments(m map[string]any) bool {
	v, ok := m[dubboVersionKey].(string)
	return ok && v == dubboVersion
}
