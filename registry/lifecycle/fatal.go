// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"fmt"
	"os"
	"strings"
)

// exit ends the process; tests put their own in.
var exit = os.Exit //nolint:gochecknoglobals // replaced by tests only

// fatal ends a start that cannot succeed, with one line on stderr and exit code 1.
func fatal(err error) {
	line := strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
	fmt.Fprintf(os.Stderr, "graylane: %s\n", line)
	exit(1)
}
