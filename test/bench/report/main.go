// SPDX-License-Identifier: Apache-2.0

// Command report makes one table out of what `make bench` measured: targets,
// figures, and whether they meet. It writes the table between two marks of
// docs/benchmarks.md, and what benchstat says of the raw files below it.
//
//	go run ./test/bench/report -raw .tmp/bench -page docs/benchmarks.md
package main

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// The marks of the page between which the report stands.
const (
	opening = "<!-- report: written by make bench -->"
	closing = "<!-- /report -->"
)

func main() {
	raw := flag.String("raw", ".tmp/bench", "folder of the raw files (*.txt)")
	page := flag.String("page", "", "page to write the report into; empty: stdout")
	command := flag.String("command", "make bench", "how the figures were made")
	benchstat := flag.String("benchstat", "", "path of benchstat's program; empty: its tables are left out")
	flag.Parse()
	if err := run(*raw, *page, *command, *benchstat); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(raw, page, command, benchstat string) error {
	names, err := filepath.Glob(filepath.Join(raw, "*.txt"))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return fmt.Errorf("no *.txt in %s: run make bench", raw)
	}
	var all results
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		err = all.read(f)
		_ = f.Close() // only read
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Commit %s, %s, %s, %d processors (%s), %s/%s. Command: `%s`.\n\n",
		commit(), runtime.Version(), all.cpu(), runtime.NumCPU(), "shared with all that is measured", runtime.GOOS, runtime.GOARCH, command)
	b.WriteString(table(rows(&all)))
	for _, t := range tables {
		if text, err := t.text(raw, benchstat); err != nil {
			return err
		} else if text != "" {
			fmt.Fprintf(&b, "\n%s:\n\n```text\n%s```\n", t.title, text)
		}
	}
	if page == "" {
		_, err = os.Stdout.WriteString(b.String())
		return err
	}
	old, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	text, err := between(string(old), b.String())
	if err != nil {
		return fmt.Errorf("%s: %w", page, err)
	}
	return os.WriteFile(page, []byte(text), fs.FileMode(0o644))
}

// between replaces what stands between the marks of a page.
func between(page, report string) (string, error) {
	before, rest, ok := strings.Cut(page, opening)
	_, after, ends := strings.Cut(rest, closing)
	if !ok || !ends {
		return "", fmt.Errorf("want the marks %q and %q", opening, closing)
	}
	return before + opening + "\n\n" + report + "\n" + closing + after, nil
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--abbrev=9", "--dirty", "--exclude", "*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// statTable is one call of benchstat.
type statTable struct {
	title, file, column, filter string
}

var tables = []statTable{ //nolint:gochecknoglobals // a constant
	{"Choice of an endpoint (`kitex.txt`)", "kitex.txt", "/side", ".unit:sec/op"},
	{"A call without a network (`call.txt`)", "call.txt", "/variant", ".unit:(sec/op OR allocs/op)"},
	{"The same beside plain dubbo-go's parts (`grid.txt`)", "grid.txt", "/side", ".unit:sec/op"},
	{"Push and rule change (`push.txt`)", "push.txt", "", "*"},
	{"Calls over loopback (`calls.txt`)", "calls.txt", "/side", "*"},
}

func (t statTable) text(raw, benchstat string) (string, error) {
	file := filepath.Join(raw, t.file)
	if _, err := os.Stat(file); benchstat == "" || err != nil {
		return "", nil //nolint:nilerr // a part that was not run
	}
	program, err := filepath.Abs(benchstat) // for it runs in another folder
	if err != nil {
		return "", err
	}
	args := []string{"-filter", t.filter}
	if t.column != "" {
		args = append(args, "-col", t.column)
	}
	cmd := exec.Command(program, append(args, t.file)...)
	cmd.Dir = raw // benchstat prints a name as it got it, and the page is to name no place on a machine
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("benchstat of %s: %w", file, err)
	}
	return string(out), nil
}
