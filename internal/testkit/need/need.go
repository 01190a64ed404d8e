// SPDX-License-Identifier: Apache-2.0

// Package need decides which tests do not run here, and says why.
//
// There are two reasons. With -short the caller asked for quick tests: what starts
// processes or waits is skipped, see [Long]. And a machine may lack what a test needs:
// Java, Maven, a feature of the kernel. Such a test is skipped with the name of what is
// missing, unless the environment has GRAYLANE_REQUIRE=all: then it fails, so that a run
// that shall prove everything cannot pass by skipping, see [Part].
package need

import (
	"errors"
	"fmt"
	"os"
	"testing"
)

// requireEnv names the variable that makes a missing part a failure where it is "all".
// Other values count as none.
const requireEnv = "GRAYLANE_REQUIRE"

// Long skips tb with -short, whatever is required: does says what takes the time, as
// "starts processes".
func Long(tb testing.TB, does string) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("-short: " + does)
	}
}

// Part goes on if all errors are nil. Else parts are missing, which the errors name, and
// it ends tb: skipped, or failed under GRAYLANE_REQUIRE=all. Like FailNow it is called
// from the goroutine of the test.
func Part(tb testing.TB, missing ...error) {
	tb.Helper()
	switch what, text := judge(errors.Join(missing...), os.Getenv(requireEnv)); what {
	case skip:
		tb.Skip(text)
	case fail:
		tb.Fatal(text)
	}
}

// verdict is what becomes of a test.
type verdict string

const (
	run  verdict = "run"
	skip verdict = "skip"
	fail verdict = "fail"
)

// judge says what becomes of a test that lacks something, and in which words.
func judge(missing error, required string) (verdict, string) {
	switch {
	case missing == nil:
		return run, ""
	case required == "all":
		return fail, fmt.Sprintf("%s=all, but %v", requireEnv, missing)
	default:
		return skip, missing.Error()
	}
}
