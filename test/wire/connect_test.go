// SPDX-License-Identifier: Apache-2.0

//go:build linux

package wire

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/testkit/need"
)

// silent is an address that answers no SYN: the queue of its listener is full. It
// listens with the smallest queue, and connections fill it that nobody accepts.
func silent(t *testing.T, addr string) {
	t.Helper()
	tcp := must(net.ResolveTCPAddr("tcp4", addr))(t)
	fd := must(syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0))(t)
	t.Cleanup(func() { _ = syscall.Close(fd) })
	if err := os.NewSyscallError("setsockopt", syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)); err != nil {
		t.Fatal(err)
	}
	sa := &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}
	if err := os.NewSyscallError("bind", syscall.Bind(fd, sa)); err != nil {
		t.Fatal(err)
	}
	if err := os.NewSyscallError("listen", syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for range 64 {
		c, err := net.DialTimeout("tcp4", addr, 200*time.Millisecond)
		if err != nil { // full
			return
		}
		t.Cleanup(func() { _ = c.Close() })
	}
	need.Part(t, errors.New("this kernel takes any number of connections that nobody accepts"))
}

// lost waits until dubbo-go's client has given its connection up and tries to make a
// new one, inside whatever asks for it.
func lost(t *testing.T, i *connect.Invoker) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); i.Ready(20*time.Millisecond) == nil; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the client keeps its connection")
		}
	}
}

// TestSilentAddress: an address that swallows connections costs a call a third of its
// time, after which another endpoint answers; it costs others nothing.
func TestSilentAddress(t *testing.T) {
	for n, k := range kinds {
		t.Run(k.String(), func(t *testing.T) {
			healthy := serve(t, k, echo)
			bad := lane(t, k.unanswered(t, healthy.name), incarnation(4000+2*n))
			good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "3s")), incarnation(4001+2*n))
			bad.Weight, good.Weight = favour, 1
			r := newReference(t, k, healthy.name, "3s", bad, good)

			const whole = 6 * time.Second
			ctx, cancel := context.WithTimeout(t.Context(), whole)
			defer cancel()
			begin := time.Now()
			slow := make(chan error, 1)
			go func() {
				_, err := r.call(ctx, "x")
				slow <- err
			}()
			select {
			case err := <-slow:
				if err != nil {
					t.Errorf("not rerouted: %v", err)
				}
			case <-time.After(whole/2 - 200*time.Millisecond): // the last part of a second is for a busy machine
				t.Fatal("a silent address costs a call half of its time")
			}
			if took := time.Since(begin); took < whole/3-100*time.Millisecond {
				t.Errorf("after %v: the address was not silent", took)
			}
			if got := books(bad); got.Failed == 0 || got.Sent != 0 {
				t.Errorf("books %+v, want nothing sent", got)
			}
			if !bad.Outlier() {
				t.Error("no outlier")
			}
			begin = time.Now()
			for range 20 {
				if _, err := r.call(t.Context(), "y"); err != nil {
					t.Fatal(err)
				}
			}
			if took := time.Since(begin); took > 900*time.Millisecond {
				t.Errorf("20 calls to the others took %v", took)
			}
		})
	}
}

// TestDeadAddress: where nobody listens any more, a call over dubbo is rerouted at
// once, and those that come meanwhile do not line up.
func TestDeadAddress(t *testing.T) {
	for n, k := range dubbo2 {
		t.Run(k.String(), func(t *testing.T) {
			healthy := serve(t, k, echo)
			addr, stop := listen(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) })
			bad := lane(t, connect.New(k.refer(t, healthy.name, addr, "3s")), incarnation(5000+2*n))
			good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "3s")), incarnation(5001+2*n))
			stop()
			alone := newReference(t, k, healthy.name, "200ms", bad)
			for books(bad).Failed == 0 { // until the client knows
				if _, err := alone.call(t.Context(), "x"); err == nil {
					t.Fatal("somebody answered")
				}
			}
			before := books(bad)
			bad.SetOutlier(false)
			r := newReference(t, k, healthy.name, "3s", bad, good)
			const calls = 50
			errs := make(chan error, calls)
			for range calls {
				go func() {
					_, err := r.call(t.Context(), "x")
					errs <- err
				}()
			}
			late := time.After(900 * time.Millisecond)
			for range calls {
				select {
				case err := <-errs:
					if err != nil {
						t.Errorf("not rerouted: %v", err)
					}
				case <-late:
					t.Fatalf("calls wait for a dead address: %+v", books(bad))
				}
			}
			if got := books(bad); got.Sent != before.Sent || got.Failed == before.Failed {
				t.Errorf("books %+v, before it %+v; want only failed ones more", got, before)
			}
		})
	}
}
