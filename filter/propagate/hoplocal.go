// SPDX-License-Identifier: Apache-2.0

package propagate

import (
	"strings"

	"github.com/graylane/graylane/filter/tag"
)

// hopLocal reports whether an attachment speaks of one hop only: where the call
// goes, how long it may take, how it is encoded, who sent it, what it asked of
// its receiver. Keys of Triple arrive in lower case, so do Dubbo's own.
func hopLocal(key string) bool {
	switch key {
	case "path", "interface", "group", "version",
		"timeout", "timeout-countdown", "enable-timeout-countdown", "_to", "retries",
		"async", "return", "generic", "environment", "token", "dubbo", "serialization", "prefer.serialization",
		"input", "output", "closing", "remote.application",
		tag.KeyForce,
		"accept", "accept-encoding", "connection", "content-encoding", "content-length", "content-type",
		"host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "user-agent":
		return true
	}
	return strings.HasPrefix(key, "grpc-") ||
		strings.HasPrefix(key, "tri-") ||
		strings.HasPrefix(key, "graylane-") ||
		strings.HasPrefix(key, "connect-") ||
		strings.HasPrefix(key, ":") ||
		strings.HasSuffix(key, "-addr")
}
