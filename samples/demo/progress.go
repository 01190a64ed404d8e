// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"path"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/graylane/graylane/samples/demo/internal/report"
)

// progress tells what goes on: one line that is rewritten on a terminal, so that
// the table stays whole, and a line each elsewhere. Safe for concurrent use.
type progress struct {
	w        io.Writer
	terminal bool
	started  time.Time

	mu sync.Mutex
}

func newProgress(w io.Writer) *progress {
	return &progress{w: w, terminal: report.Terminal(w), started: time.Now()}
}

func (p *progress) line(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := fmt.Sprintf("%5.1fs  ", time.Since(p.started).Seconds()) + fmt.Sprintf(format, args...)
	if p.terminal {
		_, _ = fmt.Fprint(p.w, "\r\033[K"+text) // nobody is told that progress cannot be shown
		return
	}
	_, _ = fmt.Fprintln(p.w, text)
}

// clear removes the line before something else is printed.
func (p *progress) clear() {
	if p.terminal {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, _ = fmt.Fprint(p.w, "\r\033[K")
	}
}

// bar shows a build: a spinner with the last package on a terminal, a line every
// few seconds elsewhere.
type bar struct {
	p     *progress
	spin  *progressbar.ProgressBar
	count int
	last  time.Time
}

// barEvery is how often a build speaks where there is no terminal.
const barEvery = 5 * time.Second

func (p *progress) bar(what string) *bar {
	b := &bar{p: p, last: time.Now()}
	if p.terminal {
		b.spin = progressbar.NewOptions(-1, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(what),
			progressbar.OptionSpinnerType(14), progressbar.OptionClearOnFinish(), progressbar.OptionSetElapsedTime(true))
		return b
	}
	p.line("%s", what)
	return b
}

// add reports one compiled package.
func (b *bar) add(pkg string) {
	b.count++
	if b.spin != nil {
		b.spin.Describe(fmt.Sprintf("building: %d packages compiled, %s", b.count, path.Base(pkg)))
		return
	}
	if time.Since(b.last) >= barEvery {
		b.last = time.Now()
		b.p.line("  %d packages compiled, last %s", b.count, pkg)
	}
}

func (b *bar) end() {
	if b.spin != nil {
		_ = b.spin.Finish()
	}
}
