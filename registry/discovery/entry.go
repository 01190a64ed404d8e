// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/meta"
)

// entry is what a provider URL says that matters to each push.
type entry struct {
	url         *common.URL
	incarnation string // see [identity]
	kind        *kind  // of its reader
	tag         string
	weight      float64
}

// id is the provider's identity. d.mu is held.
func (e *entry) id(d *Directory) identity {
	return identity{e.url.Location, e.incarnation, d.kindOf(*e.kind)}
}

// verdict is what becomes of a URL.
type verdict uint8

const (
	ignored verdict = iota // a configuration, or a provider of another protocol
	offered
	drained // the registry's operator gave it the weight 0
)

// reader reads the URLs of a list. Each push brings a new object for every provider,
// in nobody's cache, and a look-up takes its lock and goes through its map: one walk
// through all parameters costs less than the nine look-ups that it saves. It is for
// one goroutine.
type reader struct {
	protocol string // that the reference wants, "" for any

	service, group, version string // of the last URL
	last                    *kind  // what they came to, nil: none yet
}

// newReader returns a reader for the directory, of which it keeps nothing.
func (d *Directory) newReader() *reader { return &reader{protocol: d.ref.Protocol} }

// read reads a URL, which may be nil.
func (r *reader) read(u *common.URL) (e entry, is verdict) {
	if u == nil {
		return e, ignored
	}
	switch u.Protocol {
	case "", constant.OverrideProtocol, constant.RouterProtocol, constant.EmptyProtocol, "consumer":
		return e, ignored
	}
	if r.protocol != "" && r.protocol != u.Protocol {
		return e, ignored
	}
	var category, timestamp, service, group, version, weight, ordered string
	u.RangeParams(func(key, value string) bool {
		switch key {
		case constant.CategoryKey:
			category = value
		case constant.TimestampKey:
			timestamp = value
		case constant.InterfaceKey:
			service = value
		case constant.GroupKey:
			group = value
		case constant.VersionKey:
			version = value
		case constant.Tagkey:
			e.tag = value
		case constant.WeightKey:
			weight = value
		case meta.RegistryWeight:
			ordered = value
		case tag.MetaIncarnation:
			e.incarnation = value
		}
		return true
	})
	if category != "" && !strings.Contains(category, constant.ProviderCategory) {
		return e, ignored
	}
	if e.incarnation == "" {
		e.incarnation = "@" + timestamp
	}
	if service == "" {
		service = strings.TrimPrefix(u.Path, constant.PathSeparator)
	}
	if r.last == nil || service != r.service || group != r.group || version != r.version || u.Protocol != r.last.protocol {
		r.service, r.group, r.version = service, group, version
		r.last = &kind{u.Protocol, common.ServiceKey(service, group, version)}
	}
	e.url, e.kind = u, r.last
	e.weight = meta.Weight(func(key string) string {
		if key == meta.RegistryWeight {
			return ordered
		}
		return weight
	})
	if ordered != "" && e.weight == 0 {
		return e, drained
	}
	return e, offered
}
