// SPDX-License-Identifier: Apache-2.0

// Package zookeeper runs a real ZooKeeper 3.9.2 server for tests.
//
// Its jars come from Maven's default repository (about 10 MB the first time, then
// from the local one); it needs Java 17 or newer and Maven 3: see [Missing]. It
// listens on the loopback address only, on one port. A server ends with the process
// that started it, however that ends.
//
// A [Server] is safe for concurrent use, except that Close, Empty and
// Restart want to be called one at a time.
package zookeeper

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/test/rig/internal/jvm"
)

//go:embed pom.xml
var pom []byte

// readyTimeout bounds one start of the JVM; a loaded machine of two cores needs
// about 3 s.
const readyTimeout = time.Minute

// attempts is how many ports Start tries: another process can take one between the
// moment it was seen free and the moment the server binds it.
const attempts = 3

// Tick is the server's unit of time: sessions live at least twice as long, and a
// session that was not renewed ends up to one tick late.
const Tick = 500 * time.Millisecond

// Missing says what this machine lacks to run the server: "java 17 or newer",
// "mvn", or both. It is nil when both are there.
func Missing() error { return jvm.Missing() }

// Server is a running ZooKeeper server, made by [Start].
type Server struct {
	dir       string
	address   string
	classpath string
	proc      *child.Process
}

// Start runs a standalone server, its data and its log (out.log) in dir, which is
// created if it does not exist, and returns when it serves. ctx bounds the start,
// not the life of the server. Errors name what is missing (see [Missing]), or hold
// the end of the server's log.
func Start(ctx context.Context, dir string) (*Server, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("zookeeper: dir: %w", err)
	}
	classpath, err := jvm.ClassPath(ctx, "zookeeper", pom)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o750); err != nil {
		return nil, fmt.Errorf("zookeeper: %w", err)
	}
	for attempt := 1; ; attempt++ {
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		s := &Server{dir: dir, address: address, classpath: classpath}
		if err = s.run(ctx); err == nil {
			return s, nil
		}
		if attempt == attempts || !errors.Is(err, jvm.ErrDied) {
			return nil, err
		}
	}
}

// Address returns the address that clients use, "127.0.0.1:port". It stays the same
// over Close and Restart.
func (s *Server) Address() string { return s.address }

// Close ends the server at once and waits until its process is gone. It kills: what
// was stored survives that, as it survives a crash. Calling it again does nothing.
func (s *Server) Close() error { return s.proc.Kill() }

// Restart starts a server that was closed again: same address, same data, or none
// after Empty. Sessions that are older than their timeout by then have expired.
func (s *Server) Restart(ctx context.Context) error {
	if s.proc.Running() {
		return errors.New("zookeeper: restart: the server is running, want it closed")
	}
	return s.run(ctx)
}

// Empty deletes the data of a server that was closed: the next Restart begins anew,
// with numbers that its clients take for the past.
func (s *Server) Empty() error {
	if s.proc.Running() {
		return errors.New("zookeeper: empty: the server is running, want it closed")
	}
	data := filepath.Join(s.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	if err := os.MkdirAll(data, 0o750); err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	return nil
}

func (s *Server) run(ctx context.Context) error {
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		return fmt.Errorf("zookeeper: %w", err)
	}
	settings := filepath.Join(s.dir, "zoo.cfg")
	logging := filepath.Join(s.dir, "logback.xml")
	for file, text := range map[string]string{
		settings: strings.Join([]string{
			fmt.Sprintf("tickTime=%d", Tick.Milliseconds()),
			"dataDir=" + filepath.Join(s.dir, "data"),
			"clientPort=" + port,
			"clientPortAddress=127.0.0.1",
			"admin.enableServer=false",
			"4lw.commands.whitelist=srvr",
			"maxClientCnxns=0",
		}, "\n"),
		logging: `<configuration><appender name="out" class="ch.qos.logback.core.ConsoleAppender">` +
			`<encoder><pattern>%d %-5level %logger{0} %msg%n</pattern></encoder></appender>` +
			`<root level="WARN"><appender-ref ref="out"/></root></configuration>`,
	} {
		if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
			return fmt.Errorf("zookeeper: %w", err)
		}
	}
	out := filepath.Join(s.dir, child.LogName)
	s.proc, err = child.Start(s.dir, []string{
		"java",
		"-Xms32m", "-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlogback.configurationFile=" + logging,
		"-Dzookeeper.forceSync=no", // the data need not survive a power cut
		"-cp", s.classpath, "org.apache.zookeeper.server.ZooKeeperServerMain", settings,
	}, nil, func(string) {})
	if err != nil {
		return err
	}
	if err := s.waitReady(ctx); err != nil {
		return errors.Join(fmt.Errorf("zookeeper on %s: %w\n%s", s.address, err, jvm.Tail(out, 15)), s.Close())
	}
	return nil
}

// waitReady returns when the server serves clients.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !s.ready(ctx) {
		select {
		case <-s.proc.Done():
			return jvm.ErrDied
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// ready asks by ZooKeeper's four-letter word, which is answered once it serves.
func (s *Server) ready(ctx context.Context) bool {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", s.address)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close() }() // nothing depends on it
	if err := conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return false
	}
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return false
	}
	answer, err := io.ReadAll(io.LimitReader(conn, 4096))
	return err == nil && strings.Contains(string(answer), "Mode: ")
}

// freeAddress returns a loopback address that is free now.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("zookeeper: free port: %w", err)
	}
	defer func() { _ = l.Close() }() // it was never used
	return l.Addr().String(), nil
}
