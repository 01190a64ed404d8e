// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestColouredIsExactInEveryHundred(t *testing.T) {
	for _, percent := range []int{0, 1, 10, 50, 100} {
		for _, from := range []int64{0, 7, 1000003} {
			n := 0
			for i := range int64(100) {
				if Coloured(from+i, percent) {
					n++
				}
			}
			if n != percent {
				t.Errorf("%d of the hundred from %d are coloured, want %d", n, from, percent)
			}
		}
	}
}

func TestBodyIsAnOrder(t *testing.T) {
	for n := range int64(10) {
		var order struct {
			RequestID string `json:"request_id"`
			UserID    string `json:"user_id"`
			Items     []struct {
				SKU      string `json:"sku"`
				Quantity int    `json:"quantity"`
			} `json:"items"`
		}
		if err := json.Unmarshal(Body("id", n), &order); err != nil {
			t.Fatal(err)
		}
		if order.RequestID != "id" || order.UserID == "" || len(order.Items) != 2 || order.Items[0].Quantity < 1 {
			t.Errorf("order %d is %+v", n, order)
		}
	}
}

// run sends until the server has seen n requests, then ends and returns the records.
func run(t *testing.T, rate, n int, timeout time.Duration, handle http.HandlerFunc) []Record {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var mu sync.Mutex
	seen := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if seen++; seen == n {
			cancel()
		}
		mu.Unlock()
		handle(w, r)
	}))
	defer srv.Close()
	g := New(Config{URL: srv.URL, Run: "t", Rate: rate, Timeout: timeout})
	g.SetGray(10)
	g.Run(ctx)
	return g.Records()
}

func TestAnswersAndColours(t *testing.T) {
	records := run(t, 500, 200, time.Second, func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			RequestID string `json:"request_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&order)
		_, _ = fmt.Fprintf(w, `{"request_id":%q,"lane_path":"gateway > user(%s)"}`, order.RequestID, strings.ReplaceAll("base"+r.Header.Get(LaneHeader), "basegray", "gray"))
	})
	ids := map[string]bool{}
	for _, r := range records {
		ids[r.ID] = true
		if !r.OK() || r.Leaked() || len(r.Fallbacks()) != 0 || r.Status != http.StatusOK {
			t.Fatalf("got %+v", r)
		}
	}
	if len(ids) != len(records) || len(ids) < 200 {
		t.Errorf("%d records with %d ids, want at least 200, all different", len(records), len(ids))
	}
}

// A server that answers nobody must not slow the generator down, and the wait
// counts: this is what an open loop is for.
func TestOpenLoop(t *testing.T) {
	const timeout = 300 * time.Millisecond
	release := make(chan struct{})
	defer close(release)
	started := time.Now()
	records := run(t, 200, 20, timeout, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	if took := time.Since(started); took > 10*timeout {
		t.Errorf("20 requests of %v each took %v: they were sent one after the other", timeout, took)
	}
	for _, r := range records {
		if r.OK() || r.Err != "timeout" || r.Latency < timeout {
			t.Errorf("got %+v, want a timeout after at least %v", r, timeout)
		}
	}
}

// A connection that is closed on a request must be reported, not repeated.
func TestNothingIsSentTwice(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	records := run(t, 500, 100, time.Second, func(w http.ResponseWriter, r *http.Request) {
		var order struct {
			RequestID string `json:"request_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&order)
		mu.Lock()
		seen[order.RequestID]++
		n := len(seen)
		mu.Unlock()
		if n%2 == 0 {
			panic(http.ErrAbortHandler) // closes the connection
		}
		_, _ = fmt.Fprintf(w, `{"request_id":%q}`, order.RequestID)
	})
	failed := 0
	for _, r := range records {
		if !r.OK() {
			failed++
		}
		if seen[r.ID] > 1 {
			t.Errorf("%s was sent %d times", r.ID, seen[r.ID])
		}
	}
	if failed == 0 {
		t.Error("no request failed although every second connection was closed")
	}
}

func TestFailuresSayWhy(t *testing.T) {
	records := run(t, 500, 5, time.Second, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		_, _ = w.Write([]byte(`{"error":"` + strings.Repeat("é", 300) + `","lane_path":"gateway > user(base)"}`))
	})
	for _, r := range records {
		if !strings.HasPrefix(r.Err, "HTTP 502: é") || len(r.Err) > maxReason+4 || r.Path == "" {
			t.Errorf("got %+v", r)
		}
	}
}
