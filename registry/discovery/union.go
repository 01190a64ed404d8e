// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"slices"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/cluster/cluster"
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/global"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"

	"github.com/graylane/graylane/internal/conf"
)

// UnionName is the cluster that dubbo-go puts over the registries of one reference
// with several of them. Each registry's invoker is the same one, over the
// directory of all, so that there is nothing to choose between: an instance is
// chosen once, by tag, weight and age, not a registry first.
const UnionName = "graylane-union"

func init() {
	extension.SetCluster(UnionName, func() cluster.Cluster { return unionCluster{} })
}

type unionCluster struct{}

// Join returns the invoker that all of the list are. If the user named an address
// beside the registry, dubbo-go's way is taken.
func (unionCluster) Join(d directory.Directory) base.Invoker {
	list := slices.Compact(d.List(invocation.NewRPCInvocationWithOptions()))
	if len(list) == 1 {
		return list[0]
	}
	zone, err := extension.GetCluster(constant.ClusterKeyZoneAware)
	if err != nil {
		panic(err) // as dubbo-go does for a cluster that nobody imported
	}
	return zone.Join(d)
}

// oneReference is a reference between its first registry and its end.
type oneReference struct {
	d       *Directory
	invoker base.Invoker
}

// references are those whose registries share a directory, by the URL that
// dubbo-go makes once a reference and hands over with each registry.
var references struct { //nolint:gochecknoglobals // dubbo-go names the registries of a reference one by one
	sync.Mutex
	m map[*common.URL]*oneReference
}

// referenceOf returns the reference that u's SubURL is, with a directory that all
// of its registries share; foreign: for a cluster other than ours.
func referenceOf(u *common.URL, foreign bool) *oneReference {
	if nested(u.SubURL) {
		d := newDirectory(u)
		d.foreign = foreign
		return &oneReference{d: d}
	}
	references.Lock()
	defer references.Unlock()
	if r := references.m[u.SubURL]; r != nil {
		return r
	}
	c := u.Clone()
	c.SubURL = u.SubURL
	c.SetParam(constant.ClusterKey, UnionName) // where dubbo-go looks for the cluster over the registries
	r := &oneReference{d: newDirectory(c)}
	r.d.foreign = foreign
	if references.m == nil {
		references.m = make(map[*common.URL]*oneReference)
	}
	references.m[u.SubURL] = r
	return r
}

// separate ends the sharing of a directory that is gone.
func separate(d *Directory) {
	references.Lock()
	defer references.Unlock()
	if r := references.m[d.ref]; r != nil && r.d == d {
		delete(references.m, d.ref)
	}
}

// nested reports that dubbo-go shall choose between the registries, each with a
// directory of its own: in mode observe, which leaves calls as they are, and where
// the user gave the choice a meaning.
func nested(ref *common.URL) bool {
	if conf.Current().Mode == conf.Observe || ref.GetParam(constant.ClusterKey, "") == constant.ClusterKeyZoneAware {
		return true
	}
	raw, _ := ref.GetAttribute(constant.RegistriesConfigKey)
	registries, _ := raw.(map[string]*global.RegistryConfig)
	for _, r := range registries {
		if r != nil && (r.Preferred || r.Zone != "") {
			return true
		}
	}
	return false
}
