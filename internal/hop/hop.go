// SPDX-License-Identifier: Apache-2.0

// Package hop knows the attachments that speak of one hop only: where the call
// goes, how long it may take, how it is encoded, who sent it, what it asked of
// its receiver. The next call must not have them from the one before.
//
// Keys are in lower case: those of Triple arrive so, and Dubbo's own are.
// Everything is safe for concurrent use.
package hop

import (
	"strings"

	"github.com/graylane/graylane/filter/tag"
)

// Local reports whether an attachment is not to be passed on to the next hop
// unless the code that makes the call, or propagate.keys, says so.
func Local(key string) bool {
	return transport(key) || key == tag.KeyForce || strings.HasSuffix(key, "-addr")
}

// Reserved reports whether propagate.keys may not name key: a call that had it
// from another would fail, or be sent somewhere else. dubbo.force.tag may be
// named: it is the caller's word and not the transport's. The tag travels anyway;
// an older baggage would bring back the tag that a handler has changed.
func Reserved(key string) bool {
	return transport(key) || key == tag.KeyTag || key == tag.Baggage
}

// transport reports the keys of Dubbo, its protocols, HTTP and Graylane itself.
func transport(key string) bool {
	switch key {
	case "path", "interface", "group", "version",
		"timeout", "timeout-countdown", "enable-timeout-countdown", "_to", "retries",
		"async", "return", "generic", "environment", "token", "dubbo", "serialization", "prefer.serialization",
		"input", "output", "closing", "remote.application", "local-addr", "remote-addr",
		"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
		"host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent":
		return true
	}
	return strings.HasPrefix(key, "grpc-") ||
		strings.HasPrefix(key, "tri-") ||
		strings.HasPrefix(key, "graylane-") ||
		strings.HasPrefix(key, "connect-") ||
		strings.HasPrefix(key, ":")
}
