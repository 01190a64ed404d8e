// SPDX-License-Identifier: Apache-2.0

package zookeeper

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"
)

// slow passes a client's requests on to a server one at a time, each after delay. It
// returns its address.
func slow(t *testing.T, server string, delay time.Duration) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				_ = in.Close()
				continue
			}
			work.Go(func() { pass(in, out) })
			work.Go(func() {
				defer func() { _, _ = in.Close(), out.Close() }()
				for {
					var length [4]byte
					if _, err := io.ReadFull(in, length[:]); err != nil {
						return
					}
					time.Sleep(delay)
					_, err := out.Write(length[:])
					if err == nil {
						_, err = io.CopyN(out, in, int64(binary.BigEndian.Uint32(length[:])))
					}
					if err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		work.Wait()
	})
	return l.Addr().String()
}

// TestSlowServer: a server that answers each question in time is not given up because
// there are many questions, neither when many nodes are written nor when they are read.
// The time bounds one answer; all of them take more than twice as long.
func TestSlowServer(t *testing.T) {
	const (
		nodes  = 50
		delay  = 50 * time.Millisecond
		giveUp = time.Second
	)
	s := newShared("slow", []string{slow(t, serve(t, t.TempDir()).Address(), delay)}, 10*time.Second, giveUp)
	s.users = 2 // this test and the registrar
	t.Cleanup(s.release)
	r := newRegistrar(s)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var writers sync.WaitGroup
	for n := range nodes {
		writers.Go(func() {
			if err := r.Put(ctx, fmt.Sprintf("/slow/%02d", n), strconv.Itoa(n)); err != nil {
				t.Errorf("node %d: %v", n, err)
			}
		})
	}
	writers.Wait()
	list, err := s.list(ctx, "/slow", true)
	if err != nil || len(list) != nodes {
		t.Fatalf("%d nodes, %v, want %d", len(list), err, nodes)
	}
	for n, e := range list {
		if e.Key != fmt.Sprintf("%02d", n) || e.Value != strconv.Itoa(n) {
			t.Errorf("node %d is %+v", n, e)
		}
	}
	r.Close(ctx)
	if list, err := s.list(ctx, "/slow", false); err != nil || len(list) != 0 {
		t.Errorf("after the end %v, %v are left, want nothing", list, err)
	}
}
