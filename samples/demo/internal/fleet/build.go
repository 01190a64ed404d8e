// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
)

// Module is the path of this repository's module.
const Module = "github.com/graylane/graylane"

// Apps are the four programs, in the order of a call.
func Apps() []string { return []string{"gateway", "user", "cart", "order"} }

// Root returns the folder of the module's source.
func Root(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", Module)
	out, err := cmd.Output()
	root := strings.TrimSpace(string(out))
	if err != nil || root == "" {
		return "", fmt.Errorf("fleet: the source of %s was not found (run the demo inside its module): %w", Module, err)
	}
	return root, nil
}

// Build compiles the four programs with one `go build` into dir. It calls
// progress with each package that had to be compiled; cached ones are silent.
func Build(ctx context.Context, root, dir string, progress func(pkg string)) error {
	args := make([]string, 0, 4+len(Apps()))
	args = append(args, "build", "-v", "-o", dir)
	for _, app := range Apps() {
		args = append(args, "./samples/"+app)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOTMPDIR="+dir) // what an interrupt leaves there goes with dir
	cmd.SysProcAttr = child.Attributes()
	cmd.Cancel = func() error { return child.InterruptGroup(cmd.Process) } // the compilers and linkers too
	cmd.WaitDelay = 5 * time.Second
	runtime.LockOSThread() // the kernel ends the build with the thread that started it
	defer runtime.UnlockOSThread()
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("fleet: build: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("fleet: build: %w", err)
	}
	var said bytes.Buffer
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		pkg := lines.Text()
		if strings.ContainsAny(pkg, " \t") || strings.HasPrefix(pkg, "#") {
			said.WriteString(pkg + "\n") // an error, not a package
			continue
		}
		progress(pkg)
	}
	if err := cmd.Wait(); err != nil {
		if ctx.Err() != nil {
			child.KillGroup(cmd.Process) // whoever did not heed the interrupt
			return context.Cause(ctx)
		}
		return fmt.Errorf("fleet: build: %w\n%s", err, said.Bytes())
	}
	return nil
}
