// SPDX-License-Identifier: Apache-2.0

package center

import "sync"

// current is the config centre of the process.
var current struct { //nolint:gochecknoglobals // one per process, as in dubbo-go
	sync.Mutex
	source Source
	name   string
}

// SetCurrent names the config centre of this process, whose Source stays open until the
// process ends; nil: there is none.
func SetCurrent(s Source, name string) {
	current.Lock()
	defer current.Unlock()
	current.source, current.name = s, name
}

// Current returns the config centre of this process and what log lines call it; nil if
// there is none.
func Current() (s Source, name string) {
	current.Lock()
	defer current.Unlock()
	return current.source, current.name
}
