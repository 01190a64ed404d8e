// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"sync/atomic"
	"time"

	"github.com/graylane/graylane/internal/curve"
)

// flags of an instance.
const (
	closing    = 1 << iota // it said, or showed, that it leaves
	outlier                // kept out for a while after failures
	warm                   // past its window: no clock is read any more
	calibrated             // its first answer has been seen
	gone                   // nobody references it any more
	refusing               // it leaves, and has begun to refuse
)

// closingTime is how long an instance is closing that may be another process by then.
// It is as long as a directory keeps one that no registry lists any more.
const closingTime = 40 * time.Second

// Instance is one incarnation at one address. See the package comment.
type Instance struct {
	// What every call touches, side by side.
	flags          atomic.Uint32
	strikes        atomic.Int32 // timeouts in a row
	sent, answered atomic.Int64

	// App is the application that runs there, "" if unknown.
	App string
	// Address is host:port. Incarnation names the process start. For peers that
	// publish none (plain dubbo-go, Java) it is empty or starts with '@'.
	Address, Incarnation string

	table   *Table
	readyAt atomic.Int64 // monotonic, see now
	window  time.Duration
	refs    int // guarded by table.mu

	refused, failed, unknown, rerouted atomic.Int64
}

// Birth is what a registry says of an instance's age.
type Birth struct {
	// Start is when it became ready, by its own clock; zero if unknown, and then
	// the instance counts as warm.
	Start time.Time
	// Window is its warm-up time; 0 or less: warm from the start.
	Window time.Duration
	// Appeared says that this process saw it join, so that its own monotonic
	// clock measures the age and no other clock is trusted.
	Appeared bool
}

var epoch = time.Now() //nolint:gochecknoglobals // a constant of the process

// now is the monotonic clock, as time since this process started.
func now() int64 { return int64(time.Since(epoch)) }

func (i *Instance) born(b Birth) {
	i.window = b.Window
	if b.Start.IsZero() || b.Window <= 0 {
		i.flags.Store(warm | calibrated)
		return
	}
	age := time.Duration(0)
	if !b.Appeared {
		age = max(time.Since(b.Start), 0)
	}
	i.readyAt.Store(now() - int64(age))
	if age >= b.Window {
		i.flags.Store(warm)
	}
}

// Calibrate takes the age that the provider itself reports while it warms up, or
// learns that it no longer does (warming false). Only the first answer counts:
// the clocks' difference is gone after one call.
func (i *Instance) Calibrate(warming bool, age time.Duration) {
	if !i.set(calibrated) {
		return
	}
	if !warming {
		if i.Named() && i.set(warm) { // a peer that would have told
			i.changed()
		}
		return
	}
	i.readyAt.Store(now() - int64(age))
	if age < i.window {
		i.flags.And(^uint32(warm))
	} else {
		i.set(warm)
	}
	i.changed()
}

// Calibrated reports whether an answer has been seen, so that callers need not
// look for its age again.
func (i *Instance) Calibrated() bool { return i.flags.Load()&calibrated != 0 }

// Age returns how long the instance has been ready, at least 0. It is only
// meaningful while it warms up.
func (i *Instance) Age() time.Duration { return max(time.Duration(now()-i.readyAt.Load()), 0) }

// Warm reports whether the instance is past its window, as last computed.
func (i *Instance) Warm() bool { return i.flags.Load()&warm != 0 }

// Factor returns the share of its weight that the instance gets now, 0 to 1.
func (i *Instance) Factor(p, floor float64) float64 {
	if i.flags.Load()&warm != 0 {
		return 1
	}
	age := i.Age()
	if age >= i.window {
		if i.set(warm) {
			i.changed() // the guard of every pool with it must be computed again
		}
		return 1
	}
	return curve.Factor(age, i.window, p, floor)
}

// MarkClosing takes the instance out of all pools, for good: only a new
// incarnation brings its address back. Where nothing names the process, as behind
// a direct URL, the next one at the address is the same instance: there it is out
// for 40 s, and one that still leaves then is to be marked again. It reports
// whether this was news. From its return on no call of this process starts there,
// but for those to levels that have nothing else.
func (i *Instance) MarkClosing() bool {
	news := i.set(closing)
	if news {
		if i.anyone() {
			time.AfterFunc(closingTime, func() {
				i.flags.And(^uint32(closing))
				i.changed()
			})
		}
		i.changed()
	}
	return news
}

// MarkRefusing takes an instance that leaves out for good, also where there is
// nothing else. Only one that publishes its incarnation refuses.
func (i *Instance) MarkRefusing() {
	news := i.set(refusing)
	if !i.MarkClosing() && news {
		i.changed()
	}
}

// Refusing reports that the instance leaves and refused a call for that.
func (i *Instance) Refusing() bool { return i.flags.Load()&refusing != 0 }

// anyone reports that nothing tells one process at the address from the next.
func (i *Instance) anyone() bool { return i.Incarnation == "" || i.Incarnation == "@" }

// SetOutlier takes the instance out of the pools, or lets it in again.
func (i *Instance) SetOutlier(out bool) bool {
	var news bool
	if out {
		news = i.set(outlier)
	} else {
		news = i.flags.And(^uint32(outlier))&outlier != 0
		i.strikes.Store(0)
	}
	if news {
		i.changed()
	}
	return news
}

// Named reports that the peer publishes its incarnation, so that it believes a
// caller that addresses it.
func (i *Instance) Named() bool { return i.Incarnation != "" && i.Incarnation[0] != '@' }

// Closing reports that the instance said, or showed, that it leaves, or that nobody
// references it any more.
func (i *Instance) Closing() bool { return i.flags.Load()&(closing|gone) != 0 }

// Over reports that the instance is closing for good.
func (i *Instance) Over() bool {
	f := i.flags.Load()
	return f&gone != 0 || f&closing != 0 && !i.anyone()
}

// Outlier reports whether failures keep the instance out.
func (i *Instance) Outlier() bool { return i.flags.Load()&outlier != 0 }

// Usable reports that the instance is neither closing nor an outlier.
func (i *Instance) Usable() bool { return i.flags.Load()&(closing|outlier|gone) == 0 }

// Proven reports that the instance has answered, and that no timeout has followed.
func (i *Instance) Proven() bool { return i.strikes.Load() == 0 && i.answered.Load() > 0 }

// Calls returns how many calls the instance has answered, and how many never reached
// it. Both only grow.
func (i *Instance) Calls() (answered, failed int64) { return i.answered.Load(), i.failed.Load() }

// Strike counts a timeout or an unavailable answer and returns how many there
// were in a row; an answer ends the row.
func (i *Instance) Strike() int { return int(i.strikes.Add(1)) }

func (i *Instance) set(bit uint32) (news bool) { return i.flags.Or(bit)&bit == 0 }

// changed tells the watchers. Of one that nobody references nobody has to know.
func (i *Instance) changed() {
	if i.table != nil && i.flags.Load()&gone == 0 {
		i.table.notify()
	}
}
