// SPDX-License-Identifier: Apache-2.0

package rulecenter

import (
	"strings"
	"sync"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/tagrouter"
)

// application is what is known of one provider application's rule.
type application struct {
	name  string
	store *tagrouter.Store

	mu     sync.Mutex
	groups []grouped // first wins
	static *tagrouter.Rule
	active string // where the rule in force comes from, "" for none
}

// grouped is the rule of one group.
type grouped struct {
	name  string
	read  bool
	text  string
	rule  *tagrouter.Rule // the last good one
	where string          // as it is named in log lines
}

func (a *application) key() string { return a.name + constant.TagRouterRuleSuffix }

// told takes the text of group i, "" for none.
func (a *application) told(i int, text string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := &a.groups[i]
	if g.read && g.text == text {
		return
	}
	had := g.text != ""
	g.read, g.text = true, text
	rule, err := tagrouter.DecodeRule(a.name, g.where, text)
	switch {
	case err != nil:
		counters.bad.Add(1)
		logger.Warnf("[graylane] %s; the last good rule stays", oneLine(err)) // it names application, place, key and line
		return
	case rule != nil:
		counters.good.Add(1)
	case had:
		counters.deleted.Add(1)
	}
	g.rule = rule
	a.publish()
}

// setStatic takes the rule of dubbogo.yml.
func (a *application) setStatic(r *tagrouter.Rule) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.static = r
	a.publish()
}

// publish puts the first rule there is in force.
func (a *application) publish() {
	var rule *tagrouter.Rule
	var from []string
	for _, g := range a.groups {
		if g.rule == nil {
			continue
		}
		if from = append(from, g.where); rule == nil {
			rule = g.rule
		}
	}
	if rule == nil && a.static != nil {
		rule, from = a.static, []string{"dubbogo.yml"}
	}
	a.store.Put(a.name, rule)
	active := strings.Join(from, ", ")
	if active == a.active {
		return
	}
	a.active = active
	switch len(from) {
	case 0:
		logger.Infof("[graylane] rule of %s: none any more", a.name)
	case 1:
		logger.Infof("[graylane] rule of %s: from %s, of the tags %s", a.name, from[0], strings.Join(rule.Tags(), ", "))
	default:
		logger.Warnf("[graylane] rule of %s: from %s, of the tags %s; there is another one in %s, which is not in force", a.name, from[0], strings.Join(rule.Tags(), ", "), strings.Join(from[1:], ", "))
	}
}

// oneLine makes one line of an error that may join several.
func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}
