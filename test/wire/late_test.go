// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/connect"
)

// TestLateAnswer: an answer that comes after its call's timeout costs the other calls
// on the connection nothing.
func TestLateAnswer(t *testing.T) {
	for n, k := range dubbo2 {
		t.Run(k.String(), func(t *testing.T) {
			inside := map[string]chan struct{}{"late": make(chan struct{}), "other": make(chan struct{})}
			release := map[string]chan struct{}{"late": make(chan struct{}), "other": make(chan struct{}), "last": make(chan struct{})}
			p := serve(t, k, func(_ context.Context, in string) (string, error) {
				if in == "last" {
					return in, nil
				}
				close(inside[in])
				<-release[in]
				return in, nil
			})
			defer connections(1)() // the late answer comes over the one that the others are on
			r := newReference(t, k, p.name, "20s", lane(t, connect.New(k.refer(t, p.name, p.addr, "20s")), incarnation(7000+n)))
			other := make(chan error, 1)
			go func() {
				_, err := r.call(t.Context(), "other")
				other <- err
			}()
			<-inside["other"]
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			if _, err := r.call(ctx, "late"); err == nil {
				t.Fatal("answered before its handler was")
			}
			<-inside["late"]
			close(release["late"])
			// What is sent after the late answer comes after it.
			if out, err := r.call(t.Context(), "last"); err != nil || out != "last" {
				t.Errorf("the next call: %q, %v", out, err)
			}
			close(release["other"])
			select {
			case err := <-other:
				if err != nil {
					t.Errorf("the other call: %v", err)
				}
			case <-time.After(5 * time.Second):
				t.Error("the other call has lost its connection")
			}
		})
	}
}
