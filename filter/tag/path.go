// SPDX-License-Identifier: Apache-2.0

package tag

import (
	"context"
	"sync/atomic"
)

// MaxPathBytes bounds a [Path]: what would make it longer is left out, and the
// path ends in "...".
const MaxPathBytes = 1024

const pathCut = "..."

type pathKey struct{}

// Path collects the way that a call took below this process, such as
// "user(gray) > cart(base: no-instance)". It is made only for calls that asked
// for their way. Safe for concurrent use.
type Path struct{ way atomic.Pointer[string] }

// WithPath returns ctx with a new, empty Path in it: calls made with that ctx
// ask for their way.
func WithPath(ctx context.Context) (context.Context, *Path) {
	p := new(Path)
	return context.WithValue(ctx, pathKey{}, p), p
}

// PathFrom returns the Path of ctx, nil if none was asked for.
func PathFrom(ctx context.Context) *Path {
	p, _ := ctx.Value(pathKey{}).(*Path)
	return p
}

// Add appends the way of one call; several calls are joined by ", " in the
// order of their answers. Ways come from peers: one that is empty, or holds
// bytes that do not belong into a header, is left out. A nil Path takes nothing.
func (p *Path) Add(way string) {
	if p == nil || way == "" || !printable(way) {
		return
	}
	for {
		old := p.way.Load()
		next := way
		if old != nil {
			next = *old + ", " + way
		}
		if len(next) > MaxPathBytes {
			if old == nil {
				next = pathCut
			} else if next = *old; !endsCut(next) {
				next += pathCut
			}
		}
		if p.way.CompareAndSwap(old, &next) {
			return
		}
	}
}

// String returns the way so far, "" if nothing answered yet.
func (p *Path) String() string {
	if p == nil {
		return ""
	}
	if s := p.way.Load(); s != nil {
		return *s
	}
	return ""
}

func endsCut(s string) bool {
	return len(s) >= len(pathCut) && s[len(s)-len(pathCut):] == pathCut
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
