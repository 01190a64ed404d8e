// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"errors"
	"net"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/internal/connect"
)

// neverSent reports that no handler can have seen the request, and whether that is
// so because no connection could be had (down). Each error here is made before the
// request is written, or stands for a word of the peer that it was not processed;
// docs/reroute.md has the table. text is that of err, without Triple's code.
func neverSent(err error, text string) (never, down bool) {
	var dial *net.OpError
	switch {
	case errors.Is(err, connect.ErrUnreachable), errors.As(err, &dial) && dial.Op == "dial":
		return true, true
	case errors.Is(err, base.ErrClientClosed):
		return true, true
	case errors.Is(err, base.ErrDestroyedInvoker): // of this reference: it says nothing about the peer
		return true, false
	case gettyNeverSent(text):
		return true, true
	}
	return http2NeverSent(text)
}

// gettyTimeout is what dubbo-go's getty client says when no answer came in time.
const gettyTimeout = "maybe the client read timeout or fail to decode tcp stream in Writer.Write"

// gettyClosed is what dubbo-getty says before it encodes a package (session.go,
// WritePkg). dubbo-go shares one client by address, and the session may be one of a
// process that died there a moment ago.
const gettyClosed = connect.Stale

// gettyNeverSent knows the errors that dubbo-go's getty client returns before it
// writes. They are unexported values, so that only their text can be compared. No
// answer of a provider has these texts: exceptions are typed or have a prefix.
func gettyNeverSent(text string) bool {
	switch text {
	case "session not exist", // getty_client.go, Request: no session is open
		gettyClosed,
		"client have been closed": // getty_client.go, selectSession: the client was closed
		return true
	}
	return strings.HasPrefix(text, "failed to create client connection to ") || // pool.go, newGettyRPCClientConn
		strings.HasPrefix(text, "Failed to connect server ") // exchange_client.go, doInit
}

// http2NeverSent knows what golang.org/x/net/http2 says of a request that the server
// did not process: the stream was refused (RFC 9113, 8.7), or is above the last one
// of a GOAWAY (6.8). The transport would send such a request again by itself, if
// Triple's request bodies could be read twice. Its errors are unexported as well.
func http2NeverSent(text string) (never, down bool) {
	switch {
	case text == "http2: client conn could not be established": // closed by the peer before its first request
		return true, true
	case strings.HasPrefix(text, "http2: Transport: cannot retry err ["),
		strings.HasPrefix(text, "http2: Transport received GOAWAY from server ErrCode:"): // the first stream, above the last one
		return true, false
	}
	return false, false
}
