// SPDX-License-Identifier: Apache-2.0

package news

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Two wait for the same line, one for a line that never comes.
func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const within = time.Minute
		var l Lock
		lines := 0
		say := func() {
			l.Lock()
			defer l.Unlock()
			lines++
			l.News()
		}
		say() // nobody waits yet
		began := time.Now()
		if !l.Await(within, func() bool { return lines == 1 }) {
			t.Error("what was said before is not seen")
		}
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				if !l.Await(within, func() bool { return lines == 3 }) || time.Since(began) != 2*time.Second {
					t.Errorf("after %v, want to see the third line after 2s", time.Since(began))
				}
			})
		}
		waiting.Go(func() {
			if l.Await(within, func() bool { return lines == 4 }) || time.Since(began) != within {
				t.Errorf("gave up after %v, want %v", time.Since(began), within)
			}
		})
		for range 2 {
			time.Sleep(time.Second)
			say()
		}
		waiting.Wait()
		if !l.TryLock() {
			t.Error("the lock is held")
		}
	})
}
