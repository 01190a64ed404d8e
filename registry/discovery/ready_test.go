// SPDX-License-Identifier: Apache-2.0

//nolint:thelper // the functions run in a bubble are the tests themselves
package discovery

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graylane/graylane/internal/meta"
)

// TestWaiting: what a reference waits for before its process is ready.
//
//  1. no reference
//  2. its registry has not been asked
//  3. asked, and nobody is there: ready only with check: false
//  4. an endpoint is there
//  5. it leaves
//  6. the reference has ended.
func TestWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		expect := func(step string, references int, why string) {
			t.Helper()
			n, err := Waiting()
			if n != references || (err == nil) != (why == "") || err != nil && !strings.Contains(err.Error(), why) {
				t.Errorf("%s: %d references, %v; want %d, %q", step, n, err, references, why)
			}
		}
		expect("1", 0, "")
		d.live(true)
		asked := d.sources
		d.sources = nil
		expect("being made", 1, service+": no registry has been asked")
		d.sources = asked
		expect("2", 1, service+": registry registry:1 has not been asked")
		d.sources[0].settle()
		expect("3", 1, service+": no usable endpoint")
		d.ref.SetAttribute(meta.Check, false)
		expect("3, check: false", 1, "")
		d.ref.SetAttribute(meta.Check, true)
		d.all(providerURL(1, "a", 100))
		expect("4", 1, "")
		d.Endpoints()[0].MarkClosing()
		expect("5", 1, "no usable endpoint")
		d.Destroy()
		expect("6", 0, "")
	})
}

// TestWaitingForOneOfTwo: where each registry of a reference has a directory, all are
// asked, and an endpoint of one is enough.
func TestWaitingForOneOfTwo(t *testing.T) {
	bubble(t, func(t *testing.T, d *Directory) {
		u := registryURL()
		u.SubURL = d.ref
		other := newDirectory(u)
		other.newSource(u, u.SubURL)
		defer other.Destroy()
		d.live(true)
		other.live(true)
		d.all(providerURL(1, "a", 100))
		d.sources[0].settle()
		if n, err := Waiting(); n != 1 || err == nil || !strings.Contains(err.Error(), "has not been asked") {
			t.Errorf("one is asked: %d references, %v", n, err)
		}
		other.sources[0].settle()
		if n, err := Waiting(); n != 1 || err != nil {
			t.Errorf("both are asked: %d references, %v", n, err)
		}
	})
}

// TestQuiet: not while a reference is made, nor soon after.
func TestQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		was := made.last
		defer func() { made.last = was }()
		done := making()
		time.Sleep(time.Minute)
		if Quiet() {
			t.Error("quiet while one is made")
		}
		done()
		time.Sleep(quiet - 1)
		if Quiet() {
			t.Error("quiet at once")
		}
		time.Sleep(time.Nanosecond)
		if !Quiet() {
			t.Error("not quiet after a while")
		}
	})
}
