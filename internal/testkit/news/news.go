// SPDX-License-Identifier: Apache-2.0

// Package news lets a test wait for what other processes say.
package news

import (
	"sync"
	"time"
)

// Lock guards what a test has heard so far. Its zero value is unlocked. Whoever changes
// what it guards calls [Lock.News]; whoever waits for a change calls [Lock.Await].
type Lock struct {
	sync.Mutex

	came chan struct{} // closed with the next news; nil while nobody waits
}

// News wakes those who wait. The lock is held.
func (l *Lock) News() {
	if l.came != nil {
		close(l.came)
		l.came = nil
	}
}

// Await waits until cond holds, at most for within, and returns whether it does. It
// asks at once and after each [Lock.News], with the lock held, and returns without it.
func (l *Lock) Await(within time.Duration, cond func() bool) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	for {
		came, ok := l.ask(cond)
		if ok {
			return true
		}
		select {
		case <-came:
		case <-late.C:
			return false
		}
	}
}

// ask returns whether cond holds and, if not, what is closed with the next news.
func (l *Lock) ask(cond func() bool) (came <-chan struct{}, ok bool) {
	l.Lock()
	defer l.Unlock()
	if cond() {
		return nil, true
	}
	if l.came == nil {
		l.came = make(chan struct{})
	}
	return l.came, false
}
