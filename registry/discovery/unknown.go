// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"github.com/dubbogo/gost/log/logger"
)

// unknownNames are those that a warning has named.
var unknownNames sync.Map //nolint:gochecknoglobals // one warning a process

// dropUnknown takes names that are not registered in this process out of what a text at
// where says, and returns it: every call would panic over such a balancer or filter. What
// held before stays.
func (d *Directory) dropUnknown(where string, over, before map[string]string) map[string]string {
	for key, value := range over {
		as, want := d.registered(key, value)
		if want == "" {
			over[key] = as
			continue
		}
		if delete(over, key); before[key] != "" {
			over[key] = before[key]
		}
		if _, warned := unknownNames.LoadOrStore(where+" "+d.ref.ServiceKey()+" "+key+" "+value, true); !warned {
			logger.Warnf("[graylane] overrides of %s, for %s: %s: got %q, want %s; it stays as it is", where, d.ref.Service(), key, value, want)
		}
	}
	return over
}

// registered returns a value as dubbo-go takes it. want says what is allowed where it
// names something that nobody has registered, and is empty otherwise.
func (d *Directory) registered(key, value string) (as, want string) {
	switch {
	case key == constant.LoadbalanceKey || strings.HasSuffix(key, "."+constant.LoadbalanceKey):
		if known := extension.GetAllLoadbalanceNames(); !slices.Contains(known, value) {
			return "", oneOf(known)
		}
	case key == constant.ClusterKey:
		if _, err := extension.GetCluster(value); err != nil {
			return "", "a cluster that is registered"
		}
	case key == constant.ReferenceFilterKey:
		known := extension.GetAllFilterNames()
		names, ok := filters(value, d.ref.GetParam(key, ""), known)
		if !ok {
			return "", "a list of filters that are registered: " + oneOf(known)
		}
		return strings.Join(names, ","), ""
	}
	return value, ""
}

func oneOf(known []string) string {
	slices.Sort(known)
	return "one of " + strings.Join(known, ", ")
}

// filters reads a list of filters. As in dubbogo.yml, `default` stands for own, the list
// that the reference has, and `-name` takes a name out of it; a list with neither
// replaces it.
func filters(value, own string, known []string) (names []string, ok bool) {
	var out []string
	relative := false
	for name := range strings.SplitSeq(value, ",") {
		name = strings.TrimSpace(name)
		excluded, minus := strings.CutPrefix(name, "-")
		switch {
		case name == "":
		case minus:
			out = append(out, excluded)
		case name == constant.DefaultKey:
			relative = true
			names = append(names, strings.Split(own, ",")...)
		case !slices.Contains(known, name):
			return nil, false
		default:
			names = append(names, name)
		}
	}
	if len(out) > 0 && !relative {
		names = append(strings.Split(own, ","), names...)
	}
	return slices.DeleteFunc(names, func(name string) bool { return name == "" || slices.Contains(out, name) }), true
}
