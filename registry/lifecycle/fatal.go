// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"os"

	fatalpkg "github.com/graylane/graylane/internal/fatal"
)

// exit ends the process; tests put their own in.
var exit = os.Exit //nolint:gochecknoglobals // replaced by tests only

// fatal ends a start that cannot succeed, with one line on stderr and exit code 1.
func fatal(err error) {
	fmt.Fprintln(os.Stderr, fatalpkg.Line(err))
	exit(1)
}
