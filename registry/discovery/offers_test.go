// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/metadata/info"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"github.com/dubbogo/gost/gof/observer"

	"github.com/graylane/graylane/filter/tag"
)

// asker answers for instances as the test says: after a while, and with an error for
// so many times. It counts who was asked.
type asker struct {
	mu    sync.Mutex
	slow  map[string]time.Duration // by host:port
	bad   map[string]int
	asked map[string]int
}

func (a *asker) get(_ offer, i registry.ServiceInstance) (*info.MetadataInfo, error) {
	at := strconv.Itoa(i.GetPort())
	a.mu.Lock()
	a.asked[at]++
	slow, bad := a.slow[at], a.bad[at] > 0
	if bad {
		a.bad[at]--
	}
	a.mu.Unlock()
	time.Sleep(slow)
	if bad {
		return nil, errors.New("refused")
	}
	return &info.MetadataInfo{}, nil
}

// times tells how often an instance was asked, everybody how many were.
func (a *asker) times(at string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked[at]
}

func (a *asker) everybody() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

// heard is dubbo-go's listener: it notes the lists, "port=revision" each.
type heard struct {
	registry.ServiceInstancesChangedListener
	mu    sync.Mutex
	lists []string
}

func (h *heard) OnEvent(e observer.Event) error {
	var all []string
	for _, i := range e.(*registry.ServiceInstancesChangedEvent).Instances {
		all = append(all, fmt.Sprintf("%d=%s", i.GetPort(), i.GetMetadata()[constant.ExportedServicesRevisionPropertyName]))
		i.SetServiceMetadata(&info.MetadataInfo{})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lists = append(h.lists, strings.Join(all, " "))
	return nil
}

// expect compares the lists heard since the last call.
func (h *heard) expect(t *testing.T, step string, lists ...string) {
	t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.lists, lists) {
		t.Errorf("%s: heard %q, want %q", step, h.lists, lists)
	}
	h.lists = nil
}

func asking(t *testing.T, f func(*testing.T, *asker, *listener, *heard)) {
	t.Helper()
	was := getMetadata
	defer func() { getMetadata = was }()
	synctest.Test(t, func(t *testing.T) {
		offers.known, offers.asked = nil, nil
		a := &asker{slow: map[string]time.Duration{}, bad: map[string]int{}, asked: map[string]int{}}
		getMetadata = a.get
		h := &heard{}
		f(t, a, &listener{ServiceInstancesChangedListener: h, discovery: "fakereg|", registryID: "r"}, h)
		time.Sleep(2 * redialMax) // the last question
	})
}

// offering makes instances of "port=revision[=incarnation]".
func offering(list ...string) (out []registry.ServiceInstance) {
	for _, text := range list {
		part := append(strings.Split(text, "="), "")
		out = append(out, plain(func(i *registry.DefaultServiceInstance) {
			_, err := fmt.Sscan(part[0], &i.Port)
			if err != nil {
				panic(err)
			}
			i.Metadata[constant.ExportedServicesRevisionPropertyName] = part[1]
			i.Metadata[tag.MetaIncarnation] = part[2]
		}))
	}
	return out
}

func (l *listener) hear(list ...string) {
	_ = l.OnEvent(registry.NewServiceInstancesChangedEvent("order", offering(list...)))
}

// TestHungInstanceHoldsNobodyUp: of a list with an instance that does not answer the
// others are used at once, a later list is too, and it when it answers.
func TestHungInstanceHoldsNobodyUp(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		l.hear("1=a")
		h.expect(t, "first", "1=a")
		a.slow["2"] = 5 * time.Second
		l.hear("1=a", "2=b")
		h.expect(t, "with one that hangs", "1=a")
		time.Sleep(time.Second)
		l.hear("1=a", "2=b", "3=a")
		h.expect(t, "another one comes", "1=a 3=a")
		time.Sleep(4*time.Second - 1)
		h.expect(t, "one nanosecond before it answers")
		time.Sleep(time.Nanosecond)
		h.expect(t, "it answers", "1=a 2=b 3=a")
		if a.times("2") != 1 || a.times("1") != 1 || a.times("3") != 0 {
			t.Errorf("asked %d, %d, %d times, want the first two once each", a.times("1"), a.times("2"), a.times("3"))
		}
	})
}

// TestFailedFetchIsRepeated: after 1 s, 2 s, 4 s and so on, as long as it is listed.
func TestFailedFetchIsRepeated(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		l.hear("1=a")
		h.expect(t, "first", "1=a")
		a.bad["2"] = 3
		l.hear("1=a", "2=b")
		h.expect(t, "it fails", "1=a")
		time.Sleep(7*time.Second - 1)
		h.expect(t, "before the fourth time")
		time.Sleep(time.Nanosecond)
		h.expect(t, "the fourth time", "1=a 2=b")
		a.bad["3"] = 1000
		l.hear("1=a", "3=c")
		h.expect(t, "another one fails", "1=a")
		l.hear("1=a")
		h.expect(t, "and leaves", "1=a")
		before := a.times("3")
		time.Sleep(time.Hour)
		if h.expect(t, "an hour later"); a.times("3") != before {
			t.Errorf("asked %d times after it left", a.times("3")-before)
		}
	})
}

// TestNothingKnown: a list of which nothing is known is no empty list until all have
// been asked.
func TestNothingKnown(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		a.bad["1"], a.slow["2"], a.bad["2"] = 1, 3*time.Second, 1
		l.hear("1=a", "2=b")
		time.Sleep(999 * time.Millisecond)
		h.expect(t, "one has failed")
		time.Sleep(time.Millisecond)
		h.expect(t, "and answers the second time", "1=a")
		time.Sleep(time.Minute)
		h.expect(t, "the other one, too", "1=a 2=b")
		a.bad["3"] = 1
		l.hear("3=c")
		h.expect(t, "the only one fails", "")
		time.Sleep(time.Second)
		h.expect(t, "and answers", "3=c")
		l.hear()
		h.expect(t, "all leave", "")
		l.hear("4=0")
		h.expect(t, "one that offers nothing need not be asked", "4=0")
	})
}

// TestChangedOffer: an instance that offers something else stays as it was until the
// new offer is known; another process at its address does not.
func TestChangedOffer(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		l.hear("1=a=x", "2=a=y")
		h.expect(t, "first", "1=a 2=a")
		a.slow["1"] = time.Second
		l.hear("1=b=x", "2=a=y")
		h.expect(t, "changed", "1=a 2=a")
		time.Sleep(time.Second)
		h.expect(t, "known", "1=b 2=a")
		l.hear("1=c=z", "2=a=y")
		h.expect(t, "restarted with another offer", "2=a")
		time.Sleep(time.Second)
		h.expect(t, "known", "1=c 2=a")
	})
}

// TestNextIsAsked: of the instances of one revision the next is asked when one is
// slow or has failed, and one question serves all who want to know.
func TestNextIsAsked(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		for n := range 20 {
			a.slow[strconv.Itoa(n)] = time.Minute
		}
		var all []string
		for n := range 20 {
			all = append(all, fmt.Sprintf("%d=a", n))
		}
		other := &heard{}
		o := &listener{ServiceInstancesChangedListener: other, discovery: "fakereg|", registryID: l.registryID}
		l.hear(all...)
		o.hear(all...)
		time.Sleep(askNext*(askAtMost-1) - 1)
		synctest.Wait()
		if n := a.everybody(); n != askAtMost-1 {
			t.Errorf("asked %d instances, want %d", n, askAtMost-1)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := a.everybody(); n != askAtMost {
			t.Errorf("asked %d instances, want %d", n, askAtMost)
		}
		whole := strings.Join(all, " ")
		h.expect(t, "the one", whole)
		other.expect(t, "and the other", whole)
	})
}

// discoveryOf is a registry's service discovery with one list.
type discoveryOf struct {
	registry.ServiceDiscovery
	list []registry.ServiceInstance
}

func (d discoveryOf) GetInstances(string) []registry.ServiceInstance { return d.list }

// TestFirstList waits for answers, and for 0.8 s at most.
func TestFirstList(t *testing.T) {
	for _, tc := range []struct {
		slow time.Duration // of the second
		took time.Duration
		want int
	}{
		{0, 10 * time.Millisecond, 2},
		{askWait - 1, askWait - 1, 2},
		{5 * time.Second, askWait, 1},
	} {
		asking(t, func(t *testing.T, a *asker, _ *listener, _ *heard) {
			a.slow["1"], a.slow["2"] = 10*time.Millisecond, tc.slow
			s := &serviceDiscovery{ServiceDiscovery: discoveryOf{list: offering("1=a", "2=b")}, key: "fakereg|", id: "r"}
			began := time.Now()
			list := s.GetInstances("order")
			if took := time.Since(began); len(list) != tc.want || took != tc.took {
				t.Errorf("%v: %d instances after %v, want %d after %v", tc.slow, len(list), took, tc.want, tc.took)
			}
		})
	}
}

// TestAskedAgainIsNoFirstAnswer: an instance that fails again and again does not make a
// list empty while another one has not answered yet.
func TestAskedAgainIsNoFirstAnswer(t *testing.T) {
	asking(t, func(t *testing.T, a *asker, l *listener, h *heard) {
		a.bad["1"], a.slow["2"] = 9, 5*time.Second
		l.hear("1=a", "2=b")
		time.Sleep(4 * time.Second) // failed at 0, 1 and 3 s
		h.expect(t, "one has failed three times, one has not answered")
		if n := a.times("1"); n != 3 {
			t.Errorf("asked %d times, want 3", n)
		}
		time.Sleep(time.Second)
		h.expect(t, "it answers", "2=b")
	})
}

// TestOffersAreBounded: of more revisions than are kept those go that nobody wants.
func TestOffersAreBounded(t *testing.T) {
	asking(t, func(t *testing.T, _ *asker, l *listener, h *heard) {
		for n := range offersAtMost + 10 {
			time.Sleep(time.Millisecond)
			l.hear("1=stays", fmt.Sprintf("2=%d", n))
			synctest.Wait()
		}
		if len(offers.known) != offersAtMost {
			t.Errorf("%d offers are kept, want %d", len(offers.known), offersAtMost)
		}
		last := h.lists[len(h.lists)-1]
		if want := fmt.Sprintf("1=stays 2=%d", offersAtMost+9); last != want {
			t.Errorf("the last list is %q, want %q", last, want)
		}
		if (offer{"order", "r", "1"}).known() {
			t.Error("the oldest is kept")
		}
	})
}
