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
	return o.TagOf(attachments), o.Insists(attachments)
}

// TagOf returns the tag that a call with these attachments wants, "" for none.
func (o Own) TagOf(attachments map[string]any) string {
	if s, ok := tag.Value(attachments[tag.KeyTag]); ok {
		return s
	}
	return o.Tag
}

// Insists reports whether a call with these attachments is for the tag that it wants
// and no other.
func (o Own) Insists(attachments map[string]any) bool {
	insists, _ := tag.Value(attachments[tag.KeyForce])
	if insists == "" {
		insists = o.Force
	}
	return insists != "" && strings.EqualFold(insists, "true")
}

// Sure returns where a call goes that wants the tag, "" for none, whether it insists
// on that or not, so that it need not be asked: to the usable endpoints of the tag
// itself. It returns nil where [Snapshot.First] must decide. Nobody may change the
// decision.
func (s *Snapshot) Sure(wanted string) *Decision {
	b := &s.none // insisting on no tag is not known
	if wanted != "" {
		r := s.routes[wanted]
		if r == nil || r.exact.first.Reason != "" || r.exact.first.Last {
			return nil
		}
		b = &r.exact
	}
	if b.first.Pool == nil {
		return nil
	}
	return &b.first
}

// First is [Snapshot.Route] without a copy and without a reason: nil where no endpoint
// may serve. Nobody may change the decision.
func (s *Snapshot) First(wanted string, force bool) *Decision {
	b := s.find(wanted, force)
	if b.first.Pool == nil {
		return nil
	}
	return &b.first
}
