// SPDX-License-Identifier: Apache-2.0

// Command demo starts the shop, releases a gray lane through it under load, and
// says what was lost: nothing. See docs/demo.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(os.Args[1:]))
}

// errFailed reports a demo that ran to its end and did not pass.
var errFailed = errors.New("FAIL")

func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	cmd := command()
	cmd.SetArgs(longFlags(args))
	err := cmd.ExecuteContext(ctx)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFailed):
		return 1 // the table has said why
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "demo: interrupted; all processes have ended, all files are gone")
		return 1
	}
	fmt.Fprintf(os.Stderr, "demo: %v\n", err)
	return 1
}

// longFlags lets flags be written with one dash, as Go programs have them, beside
// cobra's two. There are no one-letter flags but -h.
func longFlags(args []string) []string {
	out := slices.Clone(args)
	for i, a := range out {
		if len(a) > 2 && a[0] == '-' && a[1] != '-' {
			out[i] = "-" + a
		}
	}
	return out
}

func command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:           "demo",
		Short:         "Runs a gray release of the shop under load and proves that no request is lost",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return demo(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.rate, "rate", 200, "requests per second, 10 to 5000")
	f.DurationVar(&o.timeout, "timeout", time.Second, "bound of one request, 100ms to 1m; above 1s the bound of the last new call after a signal grows alike, for machines busy with other work")
	f.StringVar(&o.registry, "registry", "embedded", "embedded (etcd inside the demo); etcd://, nacos:// or zookeeper:// with host:port; rig:nacos or rig:zookeeper (a real server from Maven; needs Java 17)")
	f.StringVar(&o.level, "level", "application", "what is registered: interface or application")
	f.BoolVar(&o.keep, "keep", false, "start the fleet once more at the end, print its addresses and leave it up until Ctrl-C")
	f.BoolVar(&o.compare, "compare", false, "run plain dubbo-go (mode: off) first and show both side by side")
	f.BoolVar(&o.full, "full", false, "longer windows and more restarts, about five minutes")
	f.BoolVar(&o.json, "json", false, "print one JSON object as the last line")
	return cmd
}
