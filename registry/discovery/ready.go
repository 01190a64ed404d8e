// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"sync"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"

	"github.com/graylane/graylane/internal/meta"
)

// living are the directories of the references that have not ended.
var living struct { //nolint:gochecknoglobals // readiness is one of the process
	sync.Mutex
	m map[*Directory]struct{}
}

// live counts the directory among the living, or not any more.
func (d *Directory) live(is bool) {
	living.Lock()
	defer living.Unlock()
	if !is {
		delete(living.m, d)
		return
	}
	if living.m == nil {
		living.m = make(map[*Directory]struct{})
	}
	living.m[d] = struct{}{}
}

// made is how many references are being made, and when that was last so.
var made struct { //nolint:gochecknoglobals // as above
	sync.Mutex
	now  int
	last time.Time
}

// making counts a reference as being made until done is called.
func making() (done func()) {
	made.Lock()
	defer made.Unlock()
	made.now++
	return func() {
		made.Lock()
		defer made.Unlock()
		made.now--
		made.last = time.Now()
	}
}

// quiet is how long after a reference the next one may be made at the start.
const quiet = time.Second

// Quiet reports that no reference has been made for a while: those that there are
// are those of the start.
func Quiet() bool {
	made.Lock()
	defer made.Unlock()
	return made.now == 0 && time.Since(made.last) >= quiet
}

// Waiting returns how many references with a registry this process has, and why one of
// them cannot serve calls yet, nil if all can: each of their registries has been asked,
// and one of them has a usable endpoint, which references with `check: false` do without.
func Waiting() (references int, err error) {
	living.Lock()
	defer living.Unlock()
	served := make(map[*common.URL]bool) // a reference may have a directory for each registry
	for d := range living.m {
		if why := d.unasked(); why != nil {
			err = why
		}
		served[d.ref] = served[d.ref] || d.serves()
	}
	for ref, serves := range served {
		if err == nil && !serves {
			err = fmt.Errorf("reference %s: no usable endpoint yet", ref.Service())
		}
	}
	return len(served), err
}

// unasked names a registry that the directory has not asked yet.
func (d *Directory) unasked() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.sources) == 0 {
		return fmt.Errorf("reference %s: no registry has been asked yet", d.ref.Service())
	}
	for _, s := range d.sources {
		if !s.settled {
			return fmt.Errorf("reference %s: registry %s has not been asked yet", d.ref.Service(), s.url.Location)
		}
	}
	return nil
}

// serves reports that the directory has a usable endpoint, or need not have one.
func (d *Directory) serves() bool {
	check, ok := d.ref.GetAttribute(meta.Check)
	return ok && check == false || d.IsAvailable()
}
