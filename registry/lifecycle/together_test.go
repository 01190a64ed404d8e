// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"strings"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/ports"
)

// All who shut the process down join one run. Steps:
//  1. a call is in flight; the program's Shutdown is called three times, dubbo-go's
//     own once, and SIGTERM comes;
//  2. the call is answered; one service is deregistered once; one report is printed.
func TestAllJoinOneDrain(t *testing.T) {
	port := ports.Free()
	c := start(t, provider{Tri: port, Require: true, Registries: []string{"ok:1"}, Shutdown: quick})
	c.await("SAY ready")
	call := c.dial("tri", port)

	// 1.
	running := make(chan error, 1)
	go func() { _, err := call("web-1", "1s"); running <- err }()
	if _, err := call("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	c.tell("shutdown")
	c.terminate()

	// 2.
	if err := <-running; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	c.exit(0)
	all := strings.Join(c.all(), "\n")
	for _, once := range []string{reportPrefix, "SAY unregister ok:1 " + triService, "SAY stopped"} {
		if n := strings.Count(all, once); n != 1 {
			t.Errorf("%q is there %d times, want once", once, n)
		}
	}
	if r := c.report(); r.Accepted != 2 || r.Completed != 2 {
		t.Errorf("report %s, want two calls", r)
	}
}

// ServeContext shuts down with a context that has ended, and so returns before the
// drain is over; a main that calls Shutdown after it waits for it.
func TestServeContext(t *testing.T) {
	port := ports.Free()
	c := start(t, provider{Tri: port, Require: true, Registries: []string{"ok:1"}, Context: true, Shutdown: quick})
	c.await("SAY ready")
	call := c.dial("tri", port)
	running := make(chan error, 1)
	go func() { _, err := call("web-1", "1500ms"); running <- err }()
	if _, err := call("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c.tell("cancel")
	c.await("SAY served: ")
	if err := <-running; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	c.await("SAY shut down")
	c.exit(0)
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	c.await("SAY unregister ok:1")
	if r := c.report(); r.Accepted != 2 || r.Completed != 2 || r.Aborted != 0 {
		t.Errorf("report %s, want two calls, none cut off", r)
	}
}
