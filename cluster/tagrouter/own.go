// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/filter/tag"
)

// Own is what a reference says itself, read from its URL once: its tag and
// whether calls insist on it, for calls that say nothing.
type Own struct{ Tag, Force string }

// OwnOf reads a reference's URL, which may be nil.
func OwnOf(reference *common.URL) Own {
	if reference == nil {
		return Own{}
	}
	return Own{reference.GetParam(tag.KeyTag, ""), reference.GetParam(tag.KeyForce, "")}
}

// Wanted is [Wanted] for a call that is not sent yet: only one goroutine knows
// it, so its attachments are read without a lock.
func (o Own) Wanted(inv base.Invocation) (wanted string, force bool) {
	attachments := inv.Attachments()
	wanted, _ = tag.Value(attachments[tag.KeyTag])
	if wanted == "" {
		wanted = o.Tag
	}
	insists, _ := tag.Value(attachments[tag.KeyForce])
	if insists == "" {
		insists = o.Force
	}
	return wanted, insists != "" && strings.EqualFold(insists, "true")
}
