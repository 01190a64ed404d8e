// SPDX-License-Identifier: Apache-2.0

package center

import (
	"context"

	"dubbo.apache.org/dubbo-go/v3/config_center"
	"github.com/dubbogo/gost/log/logger"
)

// generic follows texts in a config centre for which nobody has registered a
// better way, by dubbo-go's interface: what its listeners do not tell is not known.
type generic struct {
	inner config_center.DynamicConfiguration
	name  string
}

// Generic returns a Source over a config centre of dubbo-go's, which log lines call name.
func Generic(inner config_center.DynamicConfiguration, name string) Source {
	return generic{inner, name}
}

var _ Source = generic{}

// Groups implements [Source]: the centre's own group, then dubbo.
func (g generic) Groups() []string { return []string{"", config_center.DefaultGroup} }

// Follow implements [Source].
func (g generic) Follow(ctx context.Context, group, key string, tell func(text string)) {
	var opts []config_center.Option
	if group != "" {
		opts = append(opts, config_center.WithGroup(group))
	}
	news := make(wakeUp, 1)
	g.inner.AddListener(key, news, opts...)
	defer g.inner.RemoveListener(key, news, opts...)
	for failures := 0; ctx.Err() == nil; {
		text, err := g.inner.GetRule(key, opts...)
		if err != nil {
			if failures == 0 {
				logger.Warnf("[graylane] %s: read %s: %v; the last known rule stays in use", g.name, key, err)
			}
			Pause(ctx, failures)
			failures++
			continue
		}
		failures = 0
		tell(text)
		select {
		case <-news:
		case <-ctx.Done():
		}
	}
}

// Check implements [Source]: nobody knows how to ask any centre.
func (g generic) Check(context.Context) error { return nil }

// Close implements [Source].
func (g generic) Close() {}

// wakeUp is a listener that only says that there is news: events may come in any
// order, a read afterwards has the last text.
type wakeUp chan struct{}

// Process implements dubbo-go's ConfigurationListener.
func (w wakeUp) Process(*config_center.ConfigChangeEvent) {
	select {
	case w <- struct{}{}:
	default:
	}
}
