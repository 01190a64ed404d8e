// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"sync/atomic"

	"github.com/dubbogo/gost/log/logger"
)

// listening is dubbo-go's logger, and lets a test hold dubbo-go's client at a line that
// it writes.
type listening struct {
	logger.Logger
	hear atomic.Pointer[func(format string, args []any)] // nil: nobody listens
}

var said listening

func (l *listening) Infof(format string, args ...any) {
	if f := l.hear.Load(); f != nil {
		(*f)(format, args)
	}
	l.Logger.Infof(format, args...)
}
