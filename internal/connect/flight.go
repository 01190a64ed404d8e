// SPDX-License-Identifier: Apache-2.0

package connect

import "sync"

// Flight is a question that is asked by one and answered to all who join meanwhile. The
// zero value is ready; it is safe for concurrent use.
type Flight struct {
	mu  sync.Mutex
	now *Question // nil while nobody asks
}

// Question is one that is asked.
type Question struct {
	Done chan struct{} // closed with the answer
	Err  error         // the answer, once Done is closed

	vain <-chan struct{}
}

// Join has ask called, in a goroutine of its own, unless a question is open. Once vain is
// closed nobody joins this question any more; nil: it always gets its answer.
func (f *Flight) Join(ask func() error, vain <-chan struct{}) *Question {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now == nil || f.now.isVain() {
		q := &Question{Done: make(chan struct{}), vain: vain}
		f.now = q
		go func() {
			q.Err = ask()
			f.mu.Lock()
			if f.now == q {
				f.now = nil
			}
			f.mu.Unlock()
			close(q.Done)
		}()
	}
	return f.now
}

func (q *Question) isVain() bool {
	select {
	case <-q.vain:
		return true
	default:
		return false
	}
}
