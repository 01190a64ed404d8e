// SPDX-License-Identifier: Apache-2.0

package lossless

import (
	"dubbo.apache.org/dubbo-go/v3/cluster/directory"
	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/cluster/endpoint"
)

// terms are what a reference says of its calls. They are immutable but for what
// sticks; one call uses one object to its end.
type terms struct {
	said    *common.URL // of which they were made
	limits  limits
	retries retries
	policies
	sticky *sticky // nil: nothing sticks
}

func newTerms(u *common.URL) *terms {
	s := &terms{said: u, limits: newLimits(u), retries: newRetries(u), sticky: newSticky(u)}
	if u != nil {
		s.policies = newPolicies(u)
	}
	return s
}

// overridden is a directory whose reference changes at run time, by overrides of the
// config centre; it tells its watchers.
type overridden interface{ Reference() *common.URL }

// followTerms takes what the directory says of the reference, now and later.
func (i *Invoker) followTerms(d directory.Directory, src endpoint.Source) {
	o, ok := d.(overridden)
	if !ok {
		i.terms.Store(newTerms(reference(d)))
		return
	}
	look := func() { // may run twice at once: whoever stores looks whether it is still so
		for old := i.terms.Load(); ; old = i.terms.Load() {
			u := o.Reference()
			if old != nil && old.said == u {
				return
			}
			s := newTerms(u)
			if old != nil && old.sticky != nil && s.sticky != nil {
				s.sticky.last = old.sticky.last
			}
			i.terms.Store(s)
		}
	}
	i.unfollow = src.Watch(look)
	look()
}
