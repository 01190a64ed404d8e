// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/dubbogo/gost/log/logger"
)

// envVariant names the variant that a child process measures.
const envVariant = "GRAYLANE_BENCH"

// The variants of BenchmarkCall.
const (
	plain    = "plain"    // dubbo-go with its defaults, Graylane off
	floor    = "floor"    // dubbo-go's client on a list of invokers, no extension at all
	graylane = "graylane" // Graylane with its defaults, and no router of dubbo-go's
	routers  = "routers"  // Graylane with its defaults, all of dubbo-go's routers, and no rule
)

var variants = [...]string{plain, floor, graylane, routers}

// callBenchmark is what the children run.
const callBenchmark = "BenchmarkCall"

func TestMain(m *testing.M) {
	flag.Parse()
	if v := os.Getenv(envVariant); v != "" {
		install(v)
		os.Exit(m.Run())
	}
	if err := rounds(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	logger.SetLoggerLevel("fatal") // dubbo-go's routers miss a config centre
	skip := "^" + callBenchmark + "$"
	if s := flagValue("skip"); s != "" {
		skip += "|" + s
	}
	if err := flag.Set("test.skip", skip); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// rounds runs the children, if -bench asks for them. Their results go to stdout
// in the usual form, under one heading.
func rounds() error {
	pattern := flagValue("bench")
	if pattern == "" {
		return nil
	}
	first, rest, deeper := strings.Cut(pattern, "/")
	if re, err := regexp.Compile(first); err != nil || !re.MatchString(callBenchmark) {
		return nil // testing itself complains about a bad pattern
	}
	pattern = "^" + callBenchmark + "$"
	if deeper {
		pattern += "/" + rest
	}
	count := flag.Lookup("test.count").Value.(flag.Getter).Get().(uint)
	heading := true
	for range count {
		for _, v := range variants {
			if err := child(os.Stdout, v, pattern, flagValue("benchtime"), heading); err != nil {
				return err
			}
			heading = false
		}
	}
	return nil
}

// child measures one variant once and writes the results, below a heading if wanted.
func child(w io.Writer, variant, pattern, benchtime string, heading bool) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	mode := "off"
	if variant == graylane || variant == routers {
		mode = "enforce"
	}
	args := []string{"-test.run=^$", "-test.bench=" + pattern, "-test.benchtime=" + benchtime}
	for _, name := range []string{"cpu", "timeout"} {
		args = append(args, "-test."+name+"="+flagValue(name))
	}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), envVariant+"="+variant, "GRAYLANE_MODE="+mode)
	var logs, errs bytes.Buffer // of interest only if it fails
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	relay(w, out, &logs, heading)
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("variant %s: %w\n%s%s", variant, err, logs.Bytes(), errs.Bytes())
	}
	return nil
}

// relay passes results on, and the heading if wanted; the rest goes to other.
func relay(w io.Writer, out io.Reader, other io.Writer, heading bool) {
	r := bufio.NewReader(out)
	for {
		line, err := r.ReadString('\n')
		label, _, _ := strings.Cut(line, ":")
		switch {
		case strings.HasPrefix(line, callBenchmark) && strings.Contains(line, " ns/op"):
			_, _ = io.WriteString(w, line)
		case label == "goos" || label == "goarch" || label == "pkg" || label == "cpu":
			if heading {
				_, _ = io.WriteString(w, line)
			}
		default:
			_, _ = io.WriteString(other, line)
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_, _ = fmt.Fprintln(other, err)
			}
			return
		}
	}
}

func flagValue(name string) string { return flag.Lookup("test." + name).Value.String() }
