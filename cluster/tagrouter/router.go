// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"strings"
	"sync/atomic"

	"dubbo.apache.org/dubbo-go/v3/cluster/router"
	dubbotag "dubbo.apache.org/dubbo-go/v3/cluster/router/tag" // initialised before us, so that our name wins
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/common/extension"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/conf"
)

// Name is the router's name in dubbo-go; the built-in of this name is replaced.
const Name = constant.TagRouterFactoryKey

func init() {
	extension.SetRouterFactory(Name, func() router.PriorityRouterFactory { return factory{} })
}

type factory struct{}

// NewPriorityRouter makes dubbo-go's own router in the modes off and observe.
func (factory) NewPriorityRouter(u *common.URL) (router.PriorityRouter, error) {
	if conf.Current().Mode != conf.Enforce {
		return dubbotag.NewTagRouterFactory().NewPriorityRouter(u)
	}
	return &Router{url: u}, nil
}

// Router is the ladder over instance tags for clusters and directories other
// than Graylane's own. dubbo-go hands it a list per call, so that it takes time
// proportional to the list. It holds no rules and no list of its own.
type Router struct {
	url      *common.URL
	baseline atomic.Bool // an instance without tag has been seen
}

var _ router.PriorityRouter = (*Router)(nil)

// URL returns the reference's URL.
func (r *Router) URL() *common.URL { return r.url }

// Priority is that of the built-in; smaller runs first.
func (r *Router) Priority() int64 { return 0 }

// Notify remembers whether there has been a baseline, not the list: see Route.
func (r *Router) Notify(list []base.Invoker) {
	if len(tagged(list, "")) > 0 {
		r.baseline.Store(true)
	}
}

// Route returns the invokers of the highest level that has any. An empty list
// makes dubbo-go answer "No provider available".
func (r *Router) Route(list []base.Invoker, u *common.URL, inv base.Invocation) []base.Invoker {
	wanted, force := Wanted(u, inv)
	for level, more := wanted, true; more; level, more = parent(level, force) {
		if found := tagged(list, level); len(found) > 0 {
			return found
		}
	}
	if wanted == "" && (!r.baseline.Load() || conf.Current().Routing.UntaggedFallback == "any") {
		return list
	}
	return nil
}

func tagged(list []base.Invoker, level string) []base.Invoker {
	var found []base.Invoker
	for _, i := range list {
		if i.GetURL().GetParam(constant.Tagkey, "") == level {
			found = append(found, i)
		}
	}
	return found
}

// Wanted returns the tag that a call wants, "" for none, and whether it insists:
// the invocation's attachment, else the reference's own parameter. An attachment
// with an empty value counts as absent, as in Java.
func Wanted(reference *common.URL, inv base.Invocation) (wanted string, force bool) {
	wanted, _ = inv.GetAttachment(tag.KeyTag)
	if wanted == "" && reference != nil {
		wanted = reference.GetParam(tag.KeyTag, "")
	}
	forced, _ := inv.GetAttachment(tag.KeyForce)
	if forced == "" && reference != nil {
		forced = reference.GetParam(tag.KeyForce, "")
	}
	return wanted, strings.EqualFold(forced, "true")
}
