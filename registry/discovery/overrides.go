// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"maps"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/meta"
	"github.com/graylane/graylane/internal/override"
)

// disabledKey takes a provider out, as in Dubbo Java.
const disabledKey = "disabled"

// replacedFor is how long the connection that another one replaced is kept for calls
// that have chosen it and not begun yet.
const replacedFor = time.Second

// overriding are the overrides of a directory: of the application that refers, then of
// the service, which wins.
type overriding struct {
	texts []*overrideText // immutable once they are followed
	leave []func()
}

// override follows the overrides of the reference and waits a while for what the config
// centre has, so that connections are made once. In mode observe it does nothing, for
// dubbo-go v3.3.2 applies none to references.
func (d *Directory) override() {
	if conf.Current().Mode != conf.Enforce {
		return
	}
	d.overrideOnce.Do(func() {
		var o overriding
		for _, key := range []string{d.app, d.ref.ColonSeparatedKey()} {
			if key == "" {
				continue
			}
			t, leave := followOverrides(key+constant.ConfiguratorSuffix, d.overridden)
			if t == nil {
				return // no config centre
			}
			o.texts, o.leave = append(o.texts, t), append(o.leave, leave)
		}
		d.mu.Lock()
		gone := d.gone
		if !gone {
			d.overrides = o
		}
		d.mu.Unlock()
		if gone {
			o.end()
			return
		}
		o.await()
		d.overridden()
	})
}

// centreSilent says that somebody waited in vain: others need not.
var centreSilent atomic.Bool //nolint:gochecknoglobals // the config centre is one of the process

// await waits until the texts have been read, for at most firstList.
func (o *overriding) await() {
	if centreSilent.Load() {
		return
	}
	wait := time.NewTimer(firstList)
	defer wait.Stop()
	for _, t := range o.texts {
		if t.vain.Load() { // such as one that may not be read
			continue
		}
		select {
		case <-t.read:
		case <-wait.C:
			t.vain.Store(true)
			centreSilent.Store(true)
			logger.Warnf("[graylane] overrides: no answer for %s within %v; they apply when it comes", t.key, firstList)
			return
		}
	}
}

func (o *overriding) end() {
	for _, leave := range o.leave {
		leave()
	}
}

func (d *Directory) consumer() override.Consumer {
	return override.Consumer{Host: common.GetLocalIp(), App: d.app, Service: d.ref}
}

// overridden applies the overrides of now to the reference and to its providers.
func (d *Directory) overridden() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone {
		return
	}
	var over map[string]string
	for _, t := range d.overrides.texts {
		if rule := t.rule.Load(); rule != nil {
			over = with(over, d.dropUnknown(rule.Where, rule.Reference(d.consumer(), nil), d.saidOfRef))
		}
	}
	if !maps.Equal(over, d.saidOfRef) {
		logger.Infof("[graylane] overrides of %s: %v", d.ref.Service(), over)
		d.saidOfRef = over
		ref := d.ref.Clone()
		for key, value := range over {
			ref.SetParam(key, value)
		}
		d.reference.Store(ref)
	}
	for _, p := range d.known {
		d.refresh(p, nil)
	}
	d.publish()
}

// Reference returns the reference as the overrides of now have it. Who keeps what it
// says looks again whenever [Directory.Watch] tells of something.
func (d *Directory) Reference() *common.URL {
	if u := d.reference.Load(); u != nil {
		return u
	}
	return d.ref
}

// overrideOf returns what the overrides of now say of a provider. d.mu is held.
func (d *Directory) overrideOf(p *provider) (over map[string]string) {
	for _, t := range d.overrides.texts {
		if rule := t.rule.Load(); rule != nil {
			over = with(over, d.dropUnknown(rule.Where, rule.Provider(d.consumer(), p.url, nil), p.over))
		}
	}
	return over
}

// with returns over with what a later text says; nil if neither says anything.
func with(over, later map[string]string) map[string]string {
	if over == nil || len(later) == 0 {
		if len(later) > 0 {
			return later
		}
		return over
	}
	maps.Copy(over, later)
	return over
}

// reconsider takes over the overrides of now for a provider. d.mu is held.
func (d *Directory) reconsider(p *provider) {
	over := d.overrideOf(p)
	if maps.Equal(over, p.over) {
		return
	}
	if p.over = over; p.endpoint != nil {
		d.adapt(p)
	}
}

// disabled reports that an override takes the provider out.
func (p *provider) disabled() bool { return p.over[disabledKey] == "true" }

// weigh returns a parameter of a provider with its overrides. d.mu is held.
func (d *Directory) weigh(p *provider, key string) string {
	if key == meta.RegistryWeight { // an operator's word, whose 0 means none, as at the registry
		if w, ok := p.over[constant.WeightKey]; ok {
			return w
		}
	}
	return d.param(p, key)
}

// replace puts an endpoint in the place of the one that the provider had, if it had one.
// d.mu is held.
func (d *Directory) replace(p *provider, e *endpoint.Endpoint) {
	old := p.endpoint
	p.endpoint = e
	if old == nil {
		return
	}
	endpoint.Shared.Acquire(p.id.address, p.id.incarnation, p.instance.App, endpoint.Birth{}) // for the old one's end
	time.AfterFunc(replacedFor, func() { retire(old) })
}

// retire ends an endpoint when its last call has returned.
func retire(e *endpoint.Endpoint) {
	e.Retire(func() {
		go func() { // a Triple invoker waits for its lock
			e.Invoker.Destroy()
			endpoint.Shared.Release(e.Instance)
		}()
	})
}
