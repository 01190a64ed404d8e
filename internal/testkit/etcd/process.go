// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
)

// childEnv makes a test binary an etcd: "data folder|client address|peer address".
const childEnv = "GRAYLANE_TESTKIT_ETCD"

// sayServing is the line that a child prints when it serves.
const sayServing = "ETCD SERVING"

// Child runs an etcd and does not return if [StartProcess] started this process for
// that. TestMain calls it first.
func Child() {
	text := os.Getenv(childEnv)
	if text == "" {
		return
	}
	part := strings.Split(text, "|")
	node, err := start(part[0], part[1], part[1], part[2])
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err) // the parent keeps it
		os.Exit(1)
	}
	_, _ = fmt.Fprintln(os.Stdout, sayServing) // without it the parent gives up
	<-node.Err()
	os.Exit(1)
}

// Process is an etcd in a process of its own, made by [StartProcess].
type Process struct {
	dir, client, peer string
	proc              *child.Process
}

// StartProcess starts this binary, whose TestMain must call [Child], as an etcd with
// its data and its log (out.log) in dir, which is created if it does not exist. It
// returns when etcd serves, or when ctx ends, or after 30 s.
func StartProcess(ctx context.Context, dir string) (*Process, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd: dir: %w", err)
	}
	var err error
	for range startAttempts {
		var ports []string
		if ports, err = freePorts(2); err != nil {
			return nil, err
		}
		p := &Process{dir: dir, client: ports[0], peer: ports[1]}
		if err = p.run(ctx); err == nil {
			return p, nil
		}
	}
	return nil, err
}

// Address returns the address that clients use, "127.0.0.1:port". It stays the same
// over Close and Restart.
func (p *Process) Address() string { return p.client }

// Close kills the process and waits until it is gone. Its data stay. Calling it again
// does nothing.
func (p *Process) Close() error { return p.proc.Kill() }

// Restart starts an etcd that was closed again: same address, same data, or none
// after Empty.
func (p *Process) Restart(ctx context.Context) error {
	if p.proc.Running() {
		return errors.New("etcd: restart: the process is running, want it closed")
	}
	return p.run(ctx)
}

// Empty deletes the data of an etcd that was closed.
func (p *Process) Empty() error {
	if p.proc.Running() {
		return errors.New("etcd: empty: the process is running, want it closed")
	}
	return os.RemoveAll(p.data())
}

func (p *Process) data() string { return filepath.Join(p.dir, "data") }

func (p *Process) run(ctx context.Context) error {
	serving := make(chan struct{}, 1)
	proc, err := child.Start(p.dir, []string{os.Args[0]}, []string{childEnv + "=" + strings.Join([]string{p.data(), p.client, p.peer}, "|")}, func(line string) {
		if line == sayServing {
			serving <- struct{}{}
		}
	})
	if err != nil {
		return err
	}
	p.proc = proc
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	select {
	case <-serving:
		return nil
	case <-proc.Done():
		err = errors.New("died at start")
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-late.C:
		err = fmt.Errorf("not ready within %v", startTimeout)
	}
	return errors.Join(fmt.Errorf("etcd: process at %s: %w; its log is in %s", p.client, err, p.dir), proc.Kill())
}
