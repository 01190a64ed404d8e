// SPDX-License-Identifier: Apache-2.0

// Command calls measures real calls over loopback: Graylane on both ends beside
// plain dubbo-go on both ends, Triple and dubbo, few providers and many.
//
// One provider process a side serves on as many ports as there are providers; a
// registry inside the client lists them. For each cell one client a side stays
// alive, and the two take short turns, A B B A, with a closed loop of fixed width:
// a machine that slows down for a while slows both. Both ends share the machine,
// so that what is gained per call is diluted by what the provider and the kernel
// need.
//
//	go run ./test/bench/calls -pairs 25 -turn 1s >calls.txt
//	benchstat -col /side calls.txt
//
// The lines have the form of Go benchmarks; test/bench/report makes ratios of the
// turns, pair by pair.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// The sides.
const (
	plain = "plain"    // dubbo-go with its defaults, GRAYLANE_MODE=off
	ours  = "graylane" // Graylane with its defaults
)

// plan is what the parent measures.
type plan struct {
	protocols []string
	sizes     []int // providers
	pairs     int
	turn      time.Duration
	width     int // calls under way at once
}

func main() {
	if runRole() {
		return
	}
	p := plan{protocols: []string{"tri", "dubbo"}}
	flag.IntVar(&p.pairs, "pairs", 25, "turns of each side in each cell")
	flag.DurationVar(&p.turn, "turn", time.Second, "length of a turn")
	flag.IntVar(&p.width, "width", 8, "calls under way at once")
	sizes := flag.String("n", "3,300", "numbers of providers")
	flag.Parse()
	for s := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			fmt.Fprintf(os.Stderr, "calls: -n %s: want numbers above 0\n", *sizes)
			os.Exit(2)
		}
		p.sizes = append(p.sizes, n)
	}
	if err := p.run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "calls:", err)
		os.Exit(1)
	}
}

// run measures all cells and writes one line a turn.
func (p plan) run(w io.Writer) error {
	most := 0
	for _, n := range p.sizes {
		most = max(most, n)
	}
	urls := map[string][]string{} // by side
	for _, side := range []string{plain, ours} {
		provider, err := startProvider(side, p.protocols, most)
		if err != nil {
			return err
		}
		defer provider.stop()
		if urls[side], err = provider.urls(most * len(p.protocols)); err != nil {
			return fmt.Errorf("provider %s: %w", side, err)
		}
	}
	for _, protocol := range p.protocols {
		for _, n := range p.sizes {
			if err := p.cell(w, protocol, n, urls); err != nil {
				return fmt.Errorf("%s, %d providers: %w", protocol, n, err)
			}
		}
	}
	return nil
}

func (p plan) cell(w io.Writer, protocol string, n int, urls map[string][]string) error {
	clients := map[string]*process{}
	for _, side := range []string{plain, ours} {
		c, err := startClient(side, protocol, n, urls[side])
		if err != nil {
			return err
		}
		defer c.stop()
		clients[side] = c
		if _, err := c.turn(max(p.turn, 100*time.Millisecond), p.width); err != nil { // warms up
			return fmt.Errorf("%s: %w", side, err)
		}
	}
	for pair := range p.pairs {
		sides := [2]string{plain, ours}
		if pair%2 == 1 {
			sides = [2]string{ours, plain}
		}
		for _, side := range sides {
			t, err := clients[side].turn(p.turn, p.width)
			if err != nil {
				return fmt.Errorf("%s: %w", side, err)
			}
			if _, err := fmt.Fprintf(w, "BenchmarkCalls/protocol=%s/n=%d/side=%s \t%d\t%.0f ns/op\t%.1f calls/s\t%d p50-ns\t%d p99-ns\n",
				protocol, n, side, t.Calls, t.Seconds*1e9/float64(t.Calls), float64(t.Calls)/t.Seconds, t.P50, t.P99); err != nil {
				return err
			}
		}
	}
	return nil
}
