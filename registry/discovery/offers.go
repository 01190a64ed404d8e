// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/registry/servicediscovery"

	"github.com/graylane/graylane/filter/tag"
)

// What an instance offers (its metadata) is asked of an instance of its revision.
// dubbo-go asks one after the other while everybody waits, and each that does not
// answer takes 5 s. So we ask, in the background and once for all who want to know,
// and hand dubbo-go an instance when the answer is in its cache.
const (
	askNext   = 200 * time.Millisecond // an instance has for itself before another one is asked, too
	askAtMost = 8                      // instances a question
	askWait   = 800 * time.Millisecond // that a first list waits for answers

	offersAtMost = 4096 // answers noted; dubbo-go's cache holds a hundred
)

// offer names what the instances of one revision offer.
type offer struct{ app, registry, revision string }

// offerOf returns the offer of an instance, false if it offers nothing.
func offerOf(i registry.ServiceInstance, registry string) (offer, bool) {
	o := offer{i.GetServiceName(), registry, i.GetMetadata()[constant.ExportedServicesRevisionPropertyName]}
	return o, o.revision != "0"
}

// getMetadata asks one instance, for 5 s or a little longer, unless the answer is in
// dubbo-go's cache, where it puts it.
var getMetadata = func(o offer, i registry.ServiceInstance) (*info.MetadataInfo, error) { //nolint:gochecknoglobals // replaced by tests only
	return servicediscovery.GetMetadataInfo(o.app, i, o.revision, o.registry)
}

// question is one that is under way.
type question struct {
	done chan struct{}
	err  error // set when done is closed
}

// offers are those that were answered once, and the questions under way.
var offers struct { //nolint:gochecknoglobals // dubbo-go's cache is one a process
	sync.Mutex
	known map[offer]time.Time // when it was asked for last
	asked map[offer]*question
}

// known reports that dubbo-go has the answer.
func (o offer) known() bool {
	offers.Lock()
	defer offers.Unlock()
	_, known := offers.known[o]
	if known {
		offers.known[o] = time.Now()
	}
	return known
}

// dropOldest forgets the answer that nobody has wanted for longest. offers is locked.
func dropOldest() {
	var oldest offer
	var when time.Time
	for o, at := range offers.known {
		if when.IsZero() || at.Before(when) {
			oldest, when = o, at
		}
	}
	delete(offers.known, oldest)
}

// forget says that dubbo-go has lost the answer: its cache holds a hundred.
func (o offer) forget() {
	offers.Lock()
	defer offers.Unlock()
	delete(offers.known, o)
}

// ask asks the instances, or joins those who do.
func (o offer) ask(of []registry.ServiceInstance) *question {
	offers.Lock()
	defer offers.Unlock()
	if q := offers.asked[o]; q != nil {
		return q
	}
	if offers.asked == nil {
		offers.asked, offers.known = make(map[offer]*question), make(map[offer]time.Time)
	}
	q := &question{done: make(chan struct{})}
	offers.asked[o] = q
	go func() {
		err := o.find(of)
		offers.Lock()
		defer offers.Unlock()
		delete(offers.asked, o)
		if err == nil {
			if len(offers.known) >= offersAtMost { // each deploy brings revisions that stay unused
				dropOldest()
			}
			offers.known[o] = time.Now()
		}
		q.err = err
		close(q.done)
	}()
	return q
}

// find asks some instances in any order, the next one when one has failed or is
// slow, and returns nil with the first answer.
func (o offer) find(of []registry.ServiceInstance) error {
	order := rand.Perm(len(of))
	order = order[:min(len(order), askAtMost)]
	answers := make(chan error, len(order))
	var err error
	for next, waiting := 0, 0; next < len(order) || waiting > 0; {
		var slow <-chan time.Time
		if next < len(order) {
			i := of[order[next]]
			go func() {
				_, err := getMetadata(o, i)
				answers <- err
			}()
			next, waiting = next+1, waiting+1
			slow = time.After(askNext)
		}
		select {
		case err = <-answers:
			if waiting--; err == nil {
				return nil
			}
		case <-slow:
		}
	}
	return err
}

// split parts a repaired list into instances whose offers are known, and the others by
// offer: copies, for they are read while the list goes its way. An instance that has
// changed its offer keeps the one it had, by before, until the new one is known.
func split(list []registry.ServiceInstance, registryID string, before map[string]string) (known []registry.ServiceInstance, asked map[offer][]registry.ServiceInstance) {
	known = make([]registry.ServiceInstance, 0, len(list))
	for _, i := range list {
		o, something := offerOf(i, registryID)
		if !something || o.known() {
			known = append(known, i)
			continue
		}
		if asked == nil {
			asked = make(map[offer][]registry.ServiceInstance)
		}
		if w, ok := i.(*instance); ok {
			asked[o] = append(asked[o], wrap([]registry.ServiceInstance{w.ServiceInstance})...)
		}
		if o.revision = before[process(i)]; o.revision != "" && o.known() {
			i.GetMetadata()[constant.ExportedServicesRevisionPropertyName] = o.revision
			known = append(known, i)
		}
	}
	return known, asked
}

// described waits a while for the offers of a list that are not known.
func described(list []registry.ServiceInstance, registryID string) []registry.ServiceInstance {
	known, asked := split(list, registryID, nil)
	if len(asked) == 0 {
		return known
	}
	wait := time.NewTimer(askWait)
	defer wait.Stop()
	questions := make([]*question, 0, len(asked))
	for o, of := range asked {
		questions = append(questions, o.ask(of))
	}
	for _, q := range questions {
		select {
		case <-q.done:
			continue
		case <-wait.C:
		}
		break
	}
	known, _ = split(list, registryID, nil)
	return known
}

// process tells starts of processes apart, by what the instance says of itself.
func process(i registry.ServiceInstance) string {
	m := i.GetMetadata()
	return net.JoinHostPort(i.GetHost(), strconv.Itoa(i.GetPort())) + " " + m[tag.MetaIncarnation] + " " + m[constant.TimestampKey]
}
