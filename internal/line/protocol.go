// SPDX-License-Identifier: Apache-2.0

// Package line is dubbo-go's protocol dubbo with clients that cannot hang a process.
//
// dubbo-go's client panics while it loses its last connection, if a call comes in that
// moment, and keeps a lock: whoever asks it for anything later hangs for ever, its own
// Destroy and that of the protocol, and so the end of the process, among them. The
// invokers of this package answer such a call with [connect.ErrUnreachable], beneath all
// filters, for it was not written, and go on over a new client. One log line says so,
// once a client.
//
// dubbo-go's client also closes itself, for good, when a request was written in part, and
// stays in use: it is replaced in the same way.
//
// The clients are made here, one an address, as dubbo-go does: one that is stuck cannot
// be taken out of dubbo-go's own list without asking it. Who takes one and who gives the
// last one back hold one lock: in dubbo-go a service may get a client that another one,
// the last, is closing. There is nothing to set, and
// with mode off dubbo-go's protocol does everything. All is safe for concurrent use.
package line

import (
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/dubbo"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/connect"
)

func init() { connect.Lines = linesTo }

// Protocol returns the protocol.
func Protocol() base.Protocol { return protocol{} }

type protocol struct{}

// Export implements dubbo-go's Protocol.
func (protocol) Export(i base.Invoker) base.Exporter { return dubbo.GetProtocol().Export(i) }

// Refer implements dubbo-go's Protocol. It connects, for at most twice 3 seconds, and
// returns nil if that fails.
func (protocol) Refer(u *common.URL) base.Invoker {
	if conf.Current().Mode == conf.Off {
		return dubbo.GetProtocol().Refer(u)
	}
	l := acquire(u.Location)
	c, err := l.connected(u)
	if err != nil {
		l.release()
		logger.Warnf("[graylane] dubbo://%s: %v", u.Location, err)
		return nil
	}
	k := &link{line: l, url: u}
	k.leg.Store(newLeg(u, c))
	return k
}

// endWithin bounds the closing of clients at the end of the process.
const endWithin = time.Second

// Destroy implements dubbo-go's Protocol: it closes all clients, then ends dubbo-go's.
func (protocol) Destroy() {
	endLines(endWithin)
	dubbo.GetProtocol().Destroy()
}
