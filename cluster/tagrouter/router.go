// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"strings"
	"sync"
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

// Router is the ladder for clusters and directories other than Graylane's own.
// dubbo-go hands it a list per call, so that it takes time proportional to the
// list, and tells it nothing of states, so that every instance counts as usable.
// It holds no rules and no list of its own.
type Router struct {
	url      *common.URL
	baseline atomic.Bool // an instance without tag has been seen
}

var _ router.PriorityRouter = (*Router)(nil)

// URL returns the reference's URL.
func (r *Router) URL() *common.URL { return r.url }

// Priority is that of the built-in; smaller runs first.
func (r *Router) Priority() int64 { return 0 }

// followed are the applications whose rules routers of this process need. dubbo-go
// never ends a router, so that they are followed to the end of the process.
var followed sync.Map //nolint:gochecknoglobals // applications are few, and the same for all references

// Notify remembers whether there has been a baseline, not the list: see Route. It
// asks for the rules of the applications behind the list and waits for none.
func (r *Router) Notify(list []base.Invoker) {
	last := ""
	for n := range list {
		app, own, _ := invokers(list).at(n)
		if own == "" {
			r.baseline.Store(true)
		}
		if app == last || app == "" {
			continue
		}
		last = app
		if _, known := followed.LoadOrStore(app, true); !known {
			Rules.Follow(app, func() {}) // a call reads the rule, nobody must be woken
		}
	}
}

// Route returns the invokers of the highest level that has any. An empty list
// makes dubbo-go answer "No provider available".
func (r *Router) Route(list []base.Invoker, u *common.URL, inv base.Invocation) []base.Invoker {
	routing := conf.Current().Routing
	wanted, force := Wanted(u, inv)
	p := place(invokers(list), Rules.Rule, routing.Compat == "java")
	var found []base.Invoker
	p.steps(wanted, force, func(level string, barred []bool) bool {
		for _, n := range p.take(level, barred) {
			found = append(found, list[n])
		}
		return len(found) == 0
	})
	if wanted == "" && len(found) == 0 && p.anyServes(routing.UntaggedFallback == "any", r.baseline.Load()) {
		return list
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
