// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// EnvTag is the environment variable that names the instance's tag; it wins over
// the settings, so that one ConfigMap serves a lane and the baseline.
const EnvTag = "GRAYLANE_TAG"

// defaultWeight is what an instance without a weight of its own publishes at
// application level, where dubbo-go would publish 0 and Java then sends nothing.
const defaultWeight = 100

// DecorateService gives a service that is about to be exported the instance's
// tag under both of dubbo-go's keys: dubbo.tag, which interface level reads, and
// application.tag, which application level reads. The first that is set counts:
// the environment variable GRAYLANE_TAG, the service's own dubbo.tag, byDefault,
// the application's tag. A tag that is none ends the process with one line.
func DecorateService(url *common.URL, byDefault string) {
	process.mu.Lock()
	process.decorated = true
	process.mu.Unlock()
	for _, s := range [...]struct{ key, value string }{
		{EnvTag, os.Getenv(EnvTag)},
		{"tag of the service " + url.Service(), url.GetParam(constant.Tagkey, "")},
		{constant.ApplicationTagKey, byDefault},
		{constant.ApplicationTagKey, url.GetParam(constant.ApplicationTagKey, "")},
	} {
		if s.value == "" {
			continue
		}
		t, err := tag.Parse(s.value)
		if err != nil {
			fatal(fmt.Errorf("%s: got %q: %w", s.key, s.value, err))
			return
		}
		url.SetParam(constant.Tagkey, t.String())
		url.SetParam(constant.ApplicationTagKey, t.String())
		return
	}
}

// birth is what an instance publishes about its age.
type birth struct {
	start  time.Time
	window time.Duration
}

// set writes the keys of both our own and Java's, all in ms.
func (b birth) set(put func(key, value string)) {
	start, window := strconv.FormatInt(b.start.UnixMilli(), 10), strconv.FormatInt(b.window.Milliseconds(), 10)
	put(tag.MetaStartTime, start)
	put(tag.MetaWarmupTime, window)
	put(tag.MetaIncarnation, Incarnation())
	put(constant.TimestampKey, start)
	put(constant.WarmupKey, window)
}

// decorateURL writes the keys into a URL that is registered at interface level.
// Its weight stays as it is unless the user set register.publish-weight: beside
// instances without Graylane, which publish 0, any other would get everything.
func decorateURL(u *common.URL, b birth, c conf.Register) {
	b.set(u.SetParam)
	if w, err := c.Weight(); err == nil && w > 0 {
		u.SetParam(constant.WeightKey, strconv.Itoa(w))
	}
}

// customizer writes the keys into the metadata of an instance that is registered
// at application level. dubbo-go calls it each time it makes an instance.
type customizer struct{ m *manager }

var _ registry.ServiceInstanceCustomizer = customizer{}

// GetPriority puts it behind dubbo-go's own, which have 0 to 2.
func (customizer) GetPriority() int { return 100 }

func (c customizer) Customize(instance registry.ServiceInstance) {
	metadata := instance.GetMetadata()
	put := func(k, v string) { metadata[k] = v }
	var urls []*common.URL
	if m := instance.GetServiceMetadata(); m != nil {
		urls = m.GetExportedServiceURLs()
	}
	for k, v := range ownParams(urls) {
		put(k, v)
	}
	c.m.currentBirth().set(put) // over the user's
	weight, tagged := instanceWeight(urls, c.m.settings().Register), instanceTag(urls)
	put(constant.WeightKey, strconv.FormatInt(weight, 10))
	if tagged != "" {
		put(constant.Tagkey, tagged)
	}
	if d, ok := instance.(*registry.DefaultServiceInstance); ok {
		d.Weight = weight
		if tagged != "" {
			d.Tag = tagged
		}
	}
	c.m.noteInstance(instance)
}

// instanceWeight is register.publish-weight, else the highest weight that the
// user gave a service, else the default.
func instanceWeight(urls []*common.URL, c conf.Register) int64 {
	if w, err := c.Weight(); err == nil && w > 0 {
		return int64(w)
	}
	weight := int64(0)
	for _, u := range urls {
		weight = max(weight, u.GetParamInt(constant.WeightKey, 0))
	}
	if weight <= 0 {
		return defaultWeight
	}
	return weight
}

// instanceTag is the first tag that a service has. dubbo-go takes the tag of
// whatever it met first, which may be a reference of this process.
func instanceTag(urls []*common.URL) string {
	for _, u := range urls {
		if t := u.GetParam(constant.Tagkey, ""); t != "" {
			return t
		}
	}
	return ""
}

// keepOutOfRevision takes keys out of the service info that dubbo-go hashes into
// the revision of the services. With them each restart is a new revision, and
// each consumer fetches the metadata again; we publish them with the instance
// instead, where Java reads them too.
func keepOutOfRevision() {
	for _, k := range []string{constant.TimestampKey, constant.WarmupKey, constant.WeightKey} {
		info.IncludeKeys.Remove(k)
	}
}
