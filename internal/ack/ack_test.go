// SPDX-License-Identifier: Apache-2.0

package ack

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/protocol/invocation"
	"go.uber.org/goleak"

	"github.com/graylane/graylane/filter/tag"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what a test waits for that must happen.
const patience = 30 * time.Second

// listen starts a listener and returns it with the URL of a provider there.
func listen(t *testing.T) (net.Listener, *common.URL) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l, common.NewURLWithOptions(common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(l.Addr().(*net.TCPAddr).Port)))
}

// TestSend: the word arrives as [From] reads it, and no connection is left: after an
// answer, a refusal, an answer that does not end, and none.
func TestSend(t *testing.T) {
	for name, tc := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		timeout,
		fails bool
	}{
		"heard":          {answer: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }},
		"not a provider": {answer: http.NotFound, fails: true},
		"never ends": {answer: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, timeout: true, fails: true},
		"no answer": {answer: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, timeout: true, fails: true},
	} {
		l, u := listen(t)
		heard, closed := make(chan string, 1), make(chan struct{})
		s := &http.Server{
			Protocols: new(http.Protocols),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inv := invocation.NewRPCInvocationWithOptions(invocation.WithAttachments(map[string]any{
					tag.KeyState: r.Header.Get(tag.KeyState), tag.KeyCaller: r.Header.Get(tag.KeyCaller),
				}))
				caller, state := From(inv, "a")
				other, nothing := From(inv, "b")
				heard <- r.URL.Path + " " + caller + " " + state + " " + other + nothing
				tc.answer(w, r)
			}),
			ConnState: func(_ net.Conn, s http.ConnState) {
				if s == http.StateClosed {
					close(closed)
				}
			},
			ReadHeaderTimeout: patience,
		}
		s.Protocols.SetUnencryptedHTTP2(true)
		go func() { _ = s.Serve(l) }()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if tc.timeout { // the word has arrived, the answer has not
			go func() {
				if got := <-heard; got != path+" web-1;a closing " {
					t.Errorf("%s: heard %q", name, got)
				}
				cancel()
			}()
		}
		err := Send(ctx, u, "web-1;a", tag.StateClosing, "a")
		if (err != nil) != tc.fails || tc.timeout && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if !tc.timeout {
			if got := <-heard; got != path+" web-1;a closing " {
				t.Errorf("%s: heard %q", name, got)
			}
		}
		select {
		case <-closed:
		case <-time.After(patience):
			t.Errorf("%s: a connection is left", name)
		}
		cancel()
		_ = s.Close()
	}
}

// TestSendToNobody: where a kernel takes the connection and nobody looks at it, the word
// ends with its context, and the connection with it.
func TestSendToNobody(t *testing.T) {
	l, u := listen(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Send(ctx, u, "web-1;a", tag.StateClosing, "a"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the end of its time", err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, conn); errors.Is(err, context.DeadlineExceeded) || isTimeout(err) {
		t.Errorf("the connection is left: %v", err)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}

// TestSendToAClosedPort: an address where nobody listens is an error at once.
func TestSendToAClosedPort(t *testing.T) {
	l, u := listen(t)
	_ = l.Close()
	if err := Send(t.Context(), u, "web-1;a", tag.StateClosing, "a"); err == nil {
		t.Error("somebody heard")
	}
}
