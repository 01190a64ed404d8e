// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"maps"
	"slices"
	"strings"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
)

// read are the parameters that dubbo-go v3.3.2 reads while it makes a connection over
// Triple or Dubbo, with its filters; all others it asks the URL for with each call.
var read = map[string]bool{ //nolint:gochecknoglobals // a constant
	constant.TimeoutKey: true, constant.SerializationKey: true, constant.ReferenceFilterKey: true,
	constant.MaxCallRecvMsgSize: true, constant.MaxCallSendMsgSize: true,
	constant.KeepAliveInterval: true, constant.KeepAliveTimeout: true,
	constant.IDLMode:    true, //nolint:staticcheck // v3.3.2 still reads it
	constant.GenericKey: true, constant.AppVersionKey: true,
	constant.MeshClusterIDKey: true, // the name by which a connection is found again
}

// chosen are the parameters by which a cluster chooses and repeats: no protocol reads them.
var chosen = [...]string{ //nolint:gochecknoglobals // a constant
	constant.RetriesKey, constant.LoadbalanceKey, constant.StickyKey, constant.ClusterKey, constant.ForksKey,
	constant.FailBackTasksKey, consistenthashingNodes, consistenthashingArguments,
}

// Of the package consistenthashing, which this one need not bring along.
const (
	consistenthashingNodes     = "hash.nodes"
	consistenthashingArguments = "hash.arguments"
)

// connects tells the parameters that a connection is made of. What protocols other than
// these two read, a user's own among them, nobody knows.
func connects(protocol, key string) bool {
	switch key {
	case constant.Tagkey, constant.WeightKey, disabledKey:
		return false
	}
	if protocol == constant.TriProtocol || protocol == constant.DubboProtocol {
		return read[key]
	}
	return !slices.ContainsFunc(chosen[:], func(c string) bool { return key == c || strings.HasSuffix(key, "."+c) })
}

// link is the part of the overrides for which a connection is made anew.
func link(protocol string, over map[string]string) map[string]string {
	return part(over, func(key string) bool { return connects(protocol, key) })
}

// part is what is left of overrides, nil if nothing is.
func part(over map[string]string, of func(key string) bool) (rest map[string]string) {
	for key, value := range over {
		if !of(key) {
			continue
		}
		if rest == nil {
			rest = make(map[string]string)
		}
		rest[key] = value
	}
	return rest
}

// rewrite makes the URL of a connection say what overrides say now where a new one is not
// needed for it. plain is what it says itself where other overrides had a say before;
// rewrite returns the same for these.
func rewrite(u *common.URL, plain, over map[string]string) map[string]string {
	next := part(over, func(key string) bool {
		switch key {
		case constant.Tagkey, constant.WeightKey, disabledKey: // see Directory.describe and show
			return false
		}
		return !connects(u.Protocol, key)
	})
	for key, own := range plain {
		if _, still := next[key]; still {
			continue
		}
		if own == "" {
			u.DelParam(key)
		} else {
			u.SetParam(key, own)
		}
	}
	for key, value := range next {
		own, known := plain[key]
		if !known {
			own = u.GetParam(key, "")
		}
		u.SetParam(key, value)
		next[key] = own
	}
	return next
}

// adapt makes a connection heed the overrides of now: calls read most of them from its
// URL, so that the next one has them; for the others it is made anew. d.mu is held.
func (d *Directory) adapt(p *provider) {
	e := p.endpoint
	connection := e.Invoker.GetURL()
	p.plain = rewrite(connection, p.plain, p.over)
	show(connection, e.Tag, e.Weight)
	if !maps.Equal(link(connection.Protocol, p.over), p.linked) {
		u := p.url
		d.work(func() { d.connect(p, u, redial) })
	}
}
