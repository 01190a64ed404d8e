// SPDX-License-Identifier: Apache-2.0

package tagrouter

import (
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol/base"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/filter/tag"
)

// members are instances as rules see them.
type members interface {
	count() int
	// at returns the application, the tag that the instance carries itself, and
	// host:port.
	at(n int) (app, own, address string)
	url(n int) *common.URL
}

type endpoints []*endpoint.Endpoint

func (l endpoints) count() int { return len(l) }

func (l endpoints) at(n int) (app, own, address string) { return l[n].App, l[n].Tag, l[n].Address }

func (l endpoints) url(n int) *common.URL {
	if u := l[n].Said(); u != nil {
		return u
	}
	if i := l[n].Invoker; i != nil {
		return i.GetURL()
	}
	return nil
}

type invokers []base.Invoker

func (l invokers) count() int { return len(l) }

func (l invokers) at(n int) (app, own, address string) {
	u := l[n].GetURL()
	return u.GetParam(constant.ApplicationKey, ""), u.GetParam(constant.Tagkey, ""), u.Location
}

func (l invokers) url(n int) *common.URL { return l[n].GetURL() }

// placement says which members are in which lanes. Here, and only here, rules
// meet instances.
type placement struct {
	lanes    map[string]*[]int32 // positions by tag, never empty; "" is the baseline
	apps     []*application
	of       []*application // by position
	untagged bool           // a member carries no tag itself, whatever a rule says of it
	java     bool
}

// application is one of those behind an interface. An instance that a rule puts
// into a lane leaves the baseline, but not the lane of its own tag unless the rule
// says who is in that, as in Dubbo Java. An instance may be in several lanes.
type application struct {
	name string
	rule *Rule // in force, or nil
	nth  int   // of placement.apps

	matched []bool // by tag of the rule: some member
}

// says reports that the rule alone says who is in the tag's lane. As in Dubbo Java
// that is so for addresses in any case, and for conditions once an instance
// satisfies them.
func (a *application) says(name string) bool {
	if a.rule == nil {
		return false
	}
	n, ok := a.rule.index[name]
	return ok && (a.rule.tags[n].addresses != nil || a.matched[n])
}

// place puts each member into its lanes: by the rules, each to the instances of
// its own application, then by the tags that they carry themselves. With java the
// rule of one application applies to all, and conditions want configVersion v3.0.
func place(list members, rules func(app string) *Rule, java bool) *placement {
	size := list.count()
	p := &placement{lanes: make(map[string]*[]int32), of: make([]*application, size), java: java}
	if size == 0 {
		return p
	}
	first := ""
	if java {
		first = firstApp(list)
	}
	known := map[string]*application{}
	var last *application
	var tagged []int32 // for whom the rules must have been read first
	for n := range size {
		app, own, address := list.at(n) // a look at 10,000 instances costs as much as all the rest
		p.untagged = p.untagged || own == ""
		if java {
			app = first
		}
		if last == nil || app != last.name {
			if last = known[app]; last == nil {
				last = &application{name: app, nth: len(p.apps)}
				if rules != nil && app != "" {
					if r := rules(app); r.Active() {
						last.rule, last.matched = r, make([]bool, len(r.tags))
					}
				}
				known[app] = last
				p.apps = append(p.apps, last)
			}
		}
		p.of[n] = last
		in := last.rule != nil && p.apply(last, n, address, list)
		switch {
		case own != "":
			tagged = append(tagged, int32(n))
		case !in:
			p.put("", int32(n))
		}
	}
	for _, n := range tagged {
		if _, own, _ := list.at(int(n)); !p.of[n].says(own) {
			p.put(own, n)
		}
	}
	return p
}

// firstApp is the application whose rule Dubbo Java knows: that of the first member,
// here of the least address, for our lists come in no order.
func firstApp(list members) (first string) {
	least := ""
	for n := range list.count() {
		if app, _, address := list.at(n); n == 0 || address < least {
			first, least = app, address
		}
	}
	return first
}

func (p *placement) put(name string, n int32) {
	l := p.lanes[name]
	if l == nil {
		l = new([]int32)
		p.lanes[name] = l
	}
	*l = append(*l, n)
}

// in returns the positions of the members of a lane.
func (p *placement) in(name string) []int32 {
	if l := p.lanes[name]; l != nil {
		return *l
	}
	return nil
}

// apply puts one member into the lanes that its application's rule names.
func (p *placement) apply(a *application, n int, address string, list members) (in bool) {
	c := candidate{address: address, list: list, n: n}
	for i := range a.rule.tags {
		t := &a.rule.tags[i]
		if p.java && t.addresses == nil && !a.rule.v3 {
			continue // Dubbo Java does not read the conditions of other versions
		}
		if t.matches(&c, p.java) {
			in, a.matched[i] = true, true
			p.put(t.name, int32(n))
		}
	}
	return in
}

// bar adds the applications whose rule ends the ladder at this level: it forces,
// and defines the tag.
func (p *placement) bar(level string, barred []bool) []bool {
	for _, a := range p.apps {
		if a.rule != nil && a.rule.force && a.rule.defines(level) {
			if barred == nil {
				barred = make([]bool, len(p.apps))
			}
			barred[a.nth] = true
		}
	}
	return barred
}

// steps calls visit for each level of the ladder from the wanted tag down, until
// it returns false. Members of the applications that are barred (by number; nil:
// none) are not to be taken at this level.
func (p *placement) steps(wanted string, force bool, visit func(level string, barred []bool) bool) {
	if p.java {
		visit(p.javaLevel(wanted, force), nil)
		return
	}
	var barred []bool
	for level, more := wanted, true; more; level, more = parent(level, force) {
		if !visit(level, barred) {
			return
		}
		if level != "" {
			barred = p.bar(level, barred)
		}
	}
}

// javaLevel returns the only level that Dubbo Java looks at, which may have no
// members. Levels like a|b are its own only in rules; it takes the first that the
// rule has instances for, dead or alive.
func (p *placement) javaLevel(wanted string, force bool) string {
	if wanted == "" || len(p.apps) == 0 {
		return wanted
	}
	a := p.apps[0]
	named, insists := wanted, force
	for level, more := wanted, true; more && level != ""; level, more = parent(level, force) {
		if a.says(level) {
			named, insists = level, force || a.rule.force
			break
		}
	}
	if len(p.in(named)) > 0 || insists {
		return named
	}
	return ""
}

// anyServes reports whether calls without tag may be served by tagged members when
// there is no baseline: by the user's word, or because the fleet is tagged
// throughout and always was. A member that only a rule has put into a lane is no
// sign of that, and Dubbo Java has no such case.
func (p *placement) anyServes(always, baselineSeen bool) bool {
	return always || !baselineSeen && !p.untagged && !p.java
}

// take returns the positions of the members that are in a lane and not barred.
func (p *placement) take(level string, barred []bool) []int32 {
	all := p.in(level)
	if barred == nil {
		return all
	}
	var out []int32
	for _, n := range all {
		if !barred[p.of[n].nth] {
			out = append(out, n)
		}
	}
	return out
}

// parent returns the next lower level, and false after the baseline or with force.
// What is longer than a tag may be has no levels, for a call must not climb without
// bound.
func parent(level string, force bool) (string, bool) {
	switch {
	case level == "" || force:
		return "", false
	case len(level) > tag.MaxBytes:
		return "", true
	}
	if i := strings.LastIndexByte(level, '|'); i > 0 {
		return level[:i], true
	}
	return "", true
}
