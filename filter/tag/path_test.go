// SPDX-License-Identifier: Apache-2.0

package tag_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/graylane/graylane/filter/tag"
)

func TestPath(t *testing.T) {
	ctx, p := tag.WithPath(context.Background())
	if tag.PathFrom(ctx) != p || tag.PathFrom(context.Background()) != nil {
		t.Error("PathFrom does not find what WithPath made")
	}
	if got := p.String(); got != "" {
		t.Errorf("empty path = %q", got)
	}
	for _, hostile := range []string{"", "a\r\nset-cookie: x", "a\x00", "grün"} {
		p.Add(hostile)
	}
	p.Add("user(gray)")
	p.Add("cart(base: no-instance)")
	if got, want := p.String(), "user(gray), cart(base: no-instance)"; got != want {
		t.Errorf("path = %q, want %q", got, want)
	}
	var none *tag.Path
	none.Add("x")
	if none.String() != "" {
		t.Error("a nil Path holds something")
	}
}

func TestPathIsBounded(t *testing.T) {
	var p tag.Path
	for range 100 {
		p.Add(strings.Repeat("x", 100))
	}
	s := p.String()
	if len(s) > tag.MaxPathBytes+3 || !strings.HasSuffix(s, "...") || strings.HasSuffix(s, "......") {
		t.Errorf("path of %d bytes ends in %q", len(s), s[len(s)-8:])
	}
	var q tag.Path
	q.Add(strings.Repeat("x", tag.MaxPathBytes+1))
	if q.String() != "..." {
		t.Errorf("path = %.10q, want ...", q.String())
	}
}

func TestPathConcurrentSafe(t *testing.T) {
	var p tag.Path
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() { p.Add("a(b)") })
	}
	wg.Wait()
	if n := strings.Count(p.String(), "a(b)"); n != 64 {
		t.Errorf("%d of 64 additions kept", n)
	}
}
