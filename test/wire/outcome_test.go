// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/graylane/graylane/cluster/endpoint"
	"github.com/graylane/graylane/internal/connect"
	"github.com/graylane/graylane/internal/testkit/ports"
)

func echo(_ context.Context, in string) (string, error) { return in, nil }

// fault is what happens to calls at one address.
type fault struct {
	name  string
	kinds []kind
	serve func(t *testing.T) string // returns the address
	text  string                    // of the client, that proves that nothing was executed; "": nothing proves it
	out   bool                      // the endpoint is put out at once
}

var (
	triple = []kind{{"tri", "idl"}, {"tri", "plain"}}
	dubbo2 = []kind{{"dubbo", "idl"}, {"dubbo", "plain"}}
)

// at serves one behaviour at the chosen point of a call.
func at(f func(net.Conn)) func(*testing.T) string {
	return func(t *testing.T) string {
		t.Helper()
		addr, _ := listen(t, f)
		return addr
	}
}

// cannotRetry begins what x/net says of a request that the server did not process.
const cannotRetry = "http2: Transport: cannot retry err ["

var faults = []fault{
	{"closed port", triple, func(*testing.T) string { return ports.Dead() }, "connect: connection refused", true},
	{"stream refused", triple, at(onCall(func(_ net.Conn, fr *http2.Framer, id uint32) {
		_ = fr.WriteRSTStream(id, http2.ErrCodeRefusedStream)
	})), cannotRetry, false},
	{"GOAWAY below the call", triple, at(onCall(func(_ net.Conn, fr *http2.Framer, _ uint32) {
		_ = fr.WriteGoAway(0, http2.ErrCodeNo, nil)
	})), cannotRetry, false},
	// Said as above, or as TestGoAwayOfTheFirstStream has it, if no health watch came first.
	{"GOAWAY below the call, with an error", triple, at(onCall(func(_ net.Conn, fr *http2.Framer, _ uint32) {
		_ = fr.WriteGoAway(0, http2.ErrCodeEnhanceYourCalm, nil)
	})), "http2: Transport received ", false},
	{"GOAWAY that includes the call, then closed", triple, at(onCall(func(c net.Conn, fr *http2.Framer, id uint32) {
		_ = fr.WriteGoAway(id, http2.ErrCodeNo, nil)
		_ = c.Close()
	})), "", false},
	{"a server that has another service", triple, func(t *testing.T) string {
		t.Helper()
		return serve(t, kind{"tri", "idl"}, echo).addr
	}, "HTTP status 404 ", false},
	{"stream reset with another code", triple, at(onCall(func(_ net.Conn, fr *http2.Framer, id uint32) {
		_ = fr.WriteRSTStream(id, http2.ErrCodeInternal)
	})), "", false},
	{"reset after the write", triple, at(onCall(func(c net.Conn, _ *http2.Framer, _ uint32) { reset(c) })), "", false},
	{"closed after the write", triple, at(onCall(func(c net.Conn, _ *http2.Framer, _ uint32) { _ = c.Close() })), "", false},
	{"no answer", triple, at(onCall(func(net.Conn, *http2.Framer, uint32) {})), "", false},
	{"reset after the write", dubbo2, at(onBytes(16, reset)), "", false},
	{"closed after the write", dubbo2, at(onBytes(16, func(c net.Conn) { _ = c.Close() })), "", false},
	{"no answer", dubbo2, at(onBytes(1<<20, func(net.Conn) {})), "", false},
}

// TestOutcomes: a call that provably was not executed goes to the other endpoint and
// is in nobody's books; what is not provable is returned, once, and never repeated.
func TestOutcomes(t *testing.T) {
	for n, f := range faults {
		for _, k := range f.kinds {
			t.Run(k.String()+"/"+f.name, func(t *testing.T) {
				healthy := serve(t, k, echo)
				addr := f.serve(t)
				bad := lane(t, connect.New(k.refer(t, healthy.name, addr, "500ms")), incarnation(n))
				good := lane(t, connect.New(k.refer(t, healthy.name, healthy.addr, "500ms")), incarnation(1000+n))
				r := newReference(t, k, healthy.name, "500ms", bad, good)
				checkFault(t, r, bad, good, healthy, f.text != "", f.out)
				if f.text == "" {
					return
				}
				bad.SetOutlier(false)
				before := books(bad)
				before.Failed++
				_, err := newReference(t, k, healthy.name, "500ms", bad).call(t.Context(), "x")
				if err == nil || !strings.Contains(clientSaid(err), f.text) {
					t.Errorf("the client says %v, want %q", err, f.text)
				}
				if got := books(bad); got != before {
					t.Errorf("books %+v, want %+v", got, before)
				}
			})
		}
	}
}

// checkFault calls until the bad endpoint has been tried, and looks at the books.
func checkFault(t *testing.T, r *reference, bad, good *endpoint.Endpoint, healthy *provider, never, out bool) {
	t.Helper()
	sent := int64(0)
	var err error
	for ; books(bad) == (endpoint.Entry{}); sent++ {
		if _, err = r.call(t.Context(), "x"); sent > 200 {
			t.Fatal("200 calls never went there")
		}
	}
	want, served := endpoint.Entry{Failed: 1, Rerouted: 1}, sent
	if !never {
		want, served = endpoint.Entry{Sent: 1, Unknown: 1}, sent-1
	}
	if got := books(bad); got != want {
		t.Errorf("books %+v, want %+v (%v)", got, want, err)
	}
	if never != (err == nil) {
		t.Errorf("the caller sees %v", err)
	}
	if got := healthy.calls.Load(); got != served {
		t.Errorf("executed %d times elsewhere, want %d of %d calls", got, served, sent)
	}
	if got := books(good); got.Answered != served {
		t.Errorf("books of the other %+v, want %d answered", got, served)
	}
	if bad.Outlier() != out {
		t.Errorf("outlier %t, want %t (%v)", bad.Outlier(), out, err)
	}
}

func incarnation(n int) string {
	const digits = "0123456789abcdef"
	id := []byte("00000000000f0000")
	for i := len(id) - 1; n > 0; i, n = i-1, n/16 {
		id[i] = digits[n%16]
	}
	return string(id)
}
