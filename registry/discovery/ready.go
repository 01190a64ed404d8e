// SPDX-License-Identifier: Apache-2.0

package discovery

import (
	"fmt"
	"sync"

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

// Waiting returns how many references with a registry this process has, and why one of
// them cannot serve calls yet, nil if all can: each of their registries has been asked,
// and there is a usable endpoint, which references with `check: false` do without.
func Waiting() (references int, err error) {
	living.Lock()
	defer living.Unlock()
	for d := range living.m {
		if why := d.lacks(); why != nil {
			err = why
		}
	}
	return len(living.m), err
}

func (d *Directory) lacks() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.sources {
		if !s.settled {
			return fmt.Errorf("reference %s: registry %s has not been asked yet", d.ref.Service(), s.url.Location)
		}
	}
	if check, ok := d.ref.GetAttribute(meta.Check); ok && check == false {
		return nil
	}
	if !d.IsAvailable() {
		return fmt.Errorf("reference %s: no usable endpoint yet", d.ref.Service())
	}
	return nil
}
