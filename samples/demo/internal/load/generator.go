// SPDX-License-Identifier: Apache-2.0

// Package load sends HTTP orders in an open loop and keeps what came back.
//
// Requests leave on a fixed schedule whatever the answers do, and latency counts
// from the moment a request was due: a system that stalls cannot slow the
// generator down and look fast (coordinated omission). Nothing is sent twice:
// the transport is kept from its silent repeats as well.
package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says where and how fast to send.
type Config struct {
	URL     string        // of POST /api/orders
	Run     string        // prefix of the request ids
	Rate    int           // requests per second, above 0
	Timeout time.Duration // of one request, from its sending
	Guard   func(func())  // runs each goroutine; nil runs it as it is
}

// Generator is one stream of requests. Its methods are safe for concurrent use.
type Generator struct {
	cfg    Config
	client *http.Client
	gray   atomic.Int64 // percent of the requests that are coloured

	mu      sync.Mutex
	records []Record
}

// New returns a generator that has not started.
func New(cfg Config) *Generator {
	if cfg.Guard == nil {
		cfg.Guard = func(f func()) { f() }
	}
	return &Generator{cfg: cfg, client: &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: cfg.Timeout}).DialContext,
		MaxIdleConns:        cfg.Rate,
		MaxIdleConnsPerHost: cfg.Rate, // as many as one second of timeouts can hold
		IdleConnTimeout:     time.Minute,
		DisableCompression:  true,
	}}}
}

// SetGray sets the percentage of coloured requests, 0 to 100, from now on.
func (g *Generator) SetGray(percent int) { g.gray.Store(int64(percent)) }

// Run sends until ctx ends and returns when the last answer is in or given up.
func (g *Generator) Run(ctx context.Context) {
	defer g.client.CloseIdleConnections()
	var calls sync.WaitGroup
	defer calls.Wait()
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ; n++ {
		due := start.Add(time.Duration(n) * time.Second / time.Duration(g.cfg.Rate))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		} else if ctx.Err() != nil {
			return
		}
		coloured := Coloured(n, int(g.gray.Load()))
		calls.Add(1)
		go g.cfg.Guard(func() {
			defer calls.Done()
			g.keep(g.send(n, coloured, due))
		})
	}
}

// Coloured spreads percent coloured requests evenly: of any hundred in a row
// exactly percent are coloured, and 37 has no factor in common with 100.
func Coloured(n int64, percent int) bool { return n*37%100 < int64(percent) }

func (g *Generator) keep(r Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.records = append(g.records, r)
}

// Records returns a copy of what has ended so far, in the order of ending.
func (g *Generator) Records() []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Record(nil), g.records...)
}

// Between returns the ended requests that were due in [from, to).
func (g *Generator) Between(from, to time.Time) []Record {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Record
	for _, r := range g.records {
		if !r.Intended.Before(from) && r.Intended.Before(to) {
			out = append(out, r)
		}
	}
	return out
}

// send makes one request, once.
func (g *Generator) send(n int64, coloured bool, due time.Time) Record {
	r := Record{ID: fmt.Sprintf("%s-%06d", g.cfg.Run, n), Coloured: coloured, Intended: due}
	err := g.post(&r, n)
	r.Latency = time.Since(due)
	if err != nil {
		r.Err = reason(err)
	}
	return r
}

func (g *Generator) post(r *Record, n int64) error {
	ctx, cancel := context.WithTimeout(context.Background(), g.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.cfg.URL, bytes.NewReader(Body(r.ID, n)))
	if err != nil {
		return err
	}
	req.GetBody = nil // without it net/http cannot repeat the request on another connection
	req.Header.Set("Content-Type", "application/json")
	if r.Coloured {
		req.Header.Set(LaneHeader, "gray")
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // read to its end below
	r.Status = resp.StatusCode
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	var answer struct {
		RequestID string `json:"request_id"`
		LanePath  string `json:"lane_path"`
		Error     string `json:"error"`
	}
	decoded := json.Unmarshal(body, &answer)
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusCreated {
		if decoded == nil && answer.Error != "" {
			body = []byte(answer.Error)
		}
		r.Path = answer.LanePath
		return fmt.Errorf("HTTP %d: %s", resp.StatusCode, bytes.TrimSpace(body))
	}
	if decoded != nil {
		return fmt.Errorf("answer is not JSON: %w", decoded)
	}
	if answer.RequestID != "" && answer.RequestID != r.ID {
		return fmt.Errorf("answer is for request %s", answer.RequestID)
	}
	r.Path = answer.LanePath
	return nil
}

// maxReason bounds how much of an error is kept, in bytes.
const maxReason = 160

// reason shortens an error to what a reader of the report needs.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "timeout"
	}
	s := err.Error()
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + " ..."
	}
	return s
}
