// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"time"

	"dubbo.apache.org/dubbo-go/v3/global"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/internal/conf"
)

// MapUserShutdown gives the values that the user set under dubbo-go's shutdown:
// a meaning in c, where c still has its default:
//
//	timeout                        -> shutdown.timeout
//	consumer-update-wait-time      -> shutdown.notice
//	offline-request-window-timeout -> shutdown.quiet-period
//
// What c already sets wins. Conflicts, and step-timeout, which has no
// counterpart since the drain waits for calls, are logged, once a process.
func MapUserShutdown(cfg *global.ShutdownConfig, c *conf.Config) {
	if cfg == nil {
		return
	}
	var notes []string
	dubbo, def := global.DefaultShutdownConfig(), conf.Default().Shutdown
	for _, m := range []struct {
		theirs, ours     string
		set, unset       string
		target, standard *time.Duration
	}{
		{"timeout", "timeout", cfg.Timeout, dubbo.Timeout, &c.Shutdown.Timeout, &def.Timeout},
		{"consumer-update-wait-time", "notice", cfg.ConsumerUpdateWaitTime, dubbo.ConsumerUpdateWaitTime, &c.Shutdown.Notice, &def.Notice},
		{"offline-request-window-timeout", "quiet-period", cfg.OfflineRequestWindowTimeout, dubbo.OfflineRequestWindowTimeout, &c.Shutdown.QuietPeriod, &def.QuietPeriod},
	} {
		if m.set == "" || m.set == m.unset {
			continue
		}
		d, err := time.ParseDuration(m.set)
		switch {
		case err != nil || d < 0:
			notes = append(notes, "shutdown."+m.theirs+" = "+m.set+" is no duration and is ignored")
		case *m.target == *m.standard:
			before := *m.target
			*m.target = d
			if err := c.Validate(); err != nil {
				*m.target = before
				notes = append(notes, "shutdown."+m.theirs+" = "+m.set+" is ignored: "+err.Error())
			}
		case *m.target != d:
			notes = append(notes, "shutdown."+m.theirs+" = "+m.set+" is ignored: "+conf.Root+".shutdown."+m.ours+" = "+m.target.String())
		}
	}
	if cfg.StepTimeout != "" && cfg.StepTimeout != dubbo.StepTimeout {
		notes = append(notes, "shutdown.step-timeout = "+cfg.StepTimeout+" has no meaning: the drain waits for the calls themselves")
	}
	if len(notes) > 0 {
		process.mappedOnce.Do(func() {
			for _, n := range notes {
				logger.Warnf("[graylane] %s", n)
			}
		})
	}
}
