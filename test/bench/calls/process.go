// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// envRole says that a process is a child; what it is, it reads from stdin.
const envRole = "GRAYLANE_CALLS_ROLE"

// mark begins the lines by which a child talks; dubbo-go's logs have none.
const mark = "CALLS "

// role is what a child is: a provider, with ports, or a client, with providers.
type role struct {
	Protocol  string           // of a client
	Providers []string         // their URLs
	Ports     map[string][]int // of a provider, by protocol
	Metadata  int              // port of its metadata service
}

// turn is one turn of a client.
type turn struct {
	Calls    int64
	Seconds  float64
	P50, P99 int64 // nanoseconds
	Failure  string
}

// order asks a client for a turn.
type order struct {
	Length time.Duration
	Width  int
}

// process is a child that the parent talks with by lines.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	noise bytes.Buffer // of interest only if it fails
}

func start(side string, r role) (*process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	mode := "off"
	if side == ours {
		mode = "enforce"
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), envRole+"=1", "GRAYLANE_MODE="+mode)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(out)
	p.cmd.Stderr = os.Stderr
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	return p, json.NewEncoder(p.in).Encode(r)
}

// next is the next line that the child says.
func (p *process) next() (string, error) {
	for {
		line, err := p.out.ReadString('\n')
		if said, ok := strings.CutPrefix(strings.TrimSpace(line), mark); ok {
			return said, nil
		}
		p.noise.WriteString(line)
		if err != nil {
			return "", fmt.Errorf("the process ended: %w: %s", err, tail(p.noise.String()))
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-4000):] }

// stop ends the child, which leaves when nobody talks to it any more.
func (p *process) stop() {
	_ = p.in.Close()
	ended := time.AfterFunc(5*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer ended.Stop()
	_, _ = io.Copy(io.Discard, p.out)
	_ = p.cmd.Wait()
}

func startProvider(side string, protocols []string, n int) (*process, error) {
	ports, err := freePorts(n*len(protocols) + 1)
	if err != nil {
		return nil, err
	}
	r := role{Ports: map[string][]int{}, Metadata: ports[n*len(protocols)]}
	for i, name := range protocols {
		r.Ports[name] = ports[i*n : (i+1)*n]
	}
	return start(side, r)
}

// urls are what a provider registers.
func (p *process) urls(n int) ([]string, error) {
	list := make([]string, n)
	for i := range list {
		var err error
		if list[i], err = p.next(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// startClient starts one that knows the first n providers of a protocol.
func startClient(side, protocol string, n int, urls []string) (*process, error) {
	r := role{Protocol: protocol}
	for _, u := range urls {
		if strings.HasPrefix(u, protocol+"://") && len(r.Providers) < n {
			r.Providers = append(r.Providers, u)
		}
	}
	if len(r.Providers) < n {
		return nil, fmt.Errorf("%d providers, want %d", len(r.Providers), n)
	}
	return start(side, r)
}

func (p *process) turn(length time.Duration, width int) (t turn, err error) {
	if err = json.NewEncoder(p.in).Encode(order{length, width}); err != nil {
		return t, err
	}
	said, err := p.next()
	if err != nil {
		return t, err
	}
	if err = json.Unmarshal([]byte(said), &t); err == nil && t.Failure != "" {
		err = errors.New(t.Failure)
	}
	return t, err
}

// freePorts are ports of the loopback that nobody listened on a moment ago, below
// those that the kernel gives to outgoing connections.
func freePorts(n int) ([]int, error) {
	var ports []int
	for port := 16_000 + rand.IntN(8_000); len(ports) < n; port++ {
		if port > 32_000 {
			return nil, fmt.Errorf("%d free ports, want %d", len(ports), n)
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		ports = append(ports, port)
		if err := l.Close(); err != nil {
			return nil, err
		}
	}
	return ports, nil
}
