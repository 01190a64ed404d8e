// SPDX-License-Identifier: Apache-2.0

// Package nacos runs a real Nacos 2.3.2 server for tests and for the demo.
//
// The server's jars come from Maven's default repository (about 180 MB the
// first time, then from the local one); no container and no other download is
// needed, only Java 17 or newer and Maven 3: see [Missing]. A server needs
// about 420 MB of memory, and 440 MB of disk in its folder.
//
// HTTP listens on the loopback address only. The gRPC, cluster and JRaft ports
// listen on every address: Nacos has no switch for them. A server ends with
// the process that started it, however that ends.
//
// A [Server] is safe for concurrent use, except that Close, Empty and Restart want to
// be called one at a time.
package nacos

import (
	"context"
	"crypto/sha512"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/graylane/graylane/internal/testkit/child"
	"github.com/graylane/graylane/test/rig/internal/jvm"
)

// The order of the class path matters: two jars hold the same hessian packages, and
// two hold an application.properties.
//
//go:embed pom.xml
var pom []byte

// Missing says what this machine lacks to run the server: "java 17 or newer",
// "mvn", or both. It is nil when both are there.
func Missing() error { return jvm.Missing() }

// readyTimeout bounds one start of the JVM; a loaded machine of two cores
// needs about 20 s.
const readyTimeout = 120 * time.Second

// attempts is how many port sets Start tries: another process can take a port
// between the moment it was seen free and the moment Nacos binds it.
const attempts = 3

// Server is a running Nacos server, made by [Start].
type Server struct {
	dir  string
	port int
	proc *child.Process
}

// Start runs a standalone server, its data and its log (out.log) in dir, which
// is created if it does not exist, and returns when it serves. ctx bounds the
// start, not the life of the server.
//
// Ports are free ones chosen together: HTTP P, gRPC P+1000, cluster P+1001,
// JRaft P-1000. They are remembered in dir, because the data belongs to them: a
// later Start in the same dir serves the same address again (with the data that
// was stored there, or empty if its folder "home" was removed).
//
// properties are further ones of the server, "key=value", such as those of [Accounts].
//
// Errors name what is missing (see [Missing]), or hold the end of the server's
// log.
func Start(ctx context.Context, dir string, properties ...string) (*Server, error) {
	if err := Missing(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("nacos: dir: %w", err)
	}
	classpath, err := jvm.ClassPath(ctx, "nacos", pom)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(dir, "home")
	for attempt := 1; ; attempt++ {
		_, missing := os.Stat(home)
		port, kept, err := portFor(dir)
		if err != nil {
			return nil, err
		}
		s, err := start(ctx, dir, port, classpath, properties)
		if err == nil {
			return s, nil
		}
		if attempt == attempts || !errors.Is(err, jvm.ErrDied) {
			return nil, err
		}
		if missing != nil { // Derby does not begin anew on what a death left half done
			if err := os.RemoveAll(home); err != nil {
				return nil, fmt.Errorf("nacos: %w", err)
			}
		}
		if kept {
			continue // too busy a machine: Derby gives a login up after a while
		}
		// A port was lost to somebody else: forget this set, take another.
		if err := os.Remove(filepath.Join(dir, portFile)); err != nil {
			return nil, fmt.Errorf("nacos: %w", err)
		}
	}
}

// Address returns the server's HTTP address, "127.0.0.1:P". Clients derive the
// gRPC port (P+1000) from it.
func (s *Server) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
}

// Close ends the server at once and waits until its process is gone. It kills:
// what a test rig has stored survives that, as it survives a crash. Calling it
// again does nothing.
func (s *Server) Close() error {
	return s.proc.Kill()
}

// Restart starts a server that was closed again: same address, same data, or none
// after Empty.
func (s *Server) Restart(ctx context.Context) error {
	if s.proc.Running() {
		return errors.New("nacos: restart: the server is running, want it closed")
	}
	again, err := Start(ctx, s.dir)
	if err != nil {
		return err
	}
	s.proc = again.proc
	return nil
}

// Empty deletes the data of a server that was closed: the next Restart begins anew, at
// the same address.
func (s *Server) Empty() error {
	if s.proc.Running() {
		return errors.New("nacos: empty: the server is running, want it closed")
	}
	if err := os.RemoveAll(filepath.Join(s.dir, "home")); err != nil {
		return fmt.Errorf("nacos: %w", err)
	}
	return nil
}

func start(ctx context.Context, dir string, port int, classpath string, properties []string) (*Server, error) {
	home := filepath.Join(dir, "home")
	for _, sub := range []string{"conf", "logs", "data"} {
		if err := os.MkdirAll(filepath.Join(home, sub), 0o750); err != nil {
			return nil, fmt.Errorf("nacos: %w", err)
		}
	}
	logPath := filepath.Join(dir, child.LogName)
	proc, err := child.Start(dir, append([]string{"java"}, arguments(dir, home, port, classpath, properties)...), nil, func(string) {})
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, port: port, proc: proc}
	if err := s.waitReady(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("nacos on %s: %w\n%s", s.Address(), err, jvm.Tail(logPath, 15)), s.Close())
	}
	return s, nil
}

// arguments returns the command line of the JVM.
func arguments(dir, home string, port int, classpath string, properties []string) []string {
	logs := filepath.Join(home, "logs")
	list := []string{
		"-Xms128m", "-Xmx256m", "-Xss512k",
		// One short-lived server on a small machine: start quickly rather than run fast.
		"-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		// Its hessian reflects into the JDK; without these two it dies on Java 17.
		"--add-opens", "java.base/java.lang=ALL-UNNAMED",
		"--add-opens", "java.base/java.util=ALL-UNNAMED",
		"-Dnacos.home=" + home, "-Duser.home=" + dir,
		"-Dnacos.logs.path=" + logs, "-Dderby.stream.error.file=" + filepath.Join(logs, "derby.log"),
		"-Dserver.port=" + strconv.Itoa(port), "-Dserver.address=127.0.0.1",
		"-Dnacos.server.ip=127.0.0.1", // its own address, in JRaft too
		"-Dserver.tomcat.accesslog.enabled=false", "-Dserver.tomcat.basedir=" + filepath.Join(home, "tomcat"),
		"-Dspring.main.banner-mode=off",
		"-Dnacos.core.auth.enabled=false",
		"-Dnacos.standalone=true",
	}
	for _, p := range properties {
		list = append(list, "-D"+p) // the last of a key wins
	}
	return append(list, "-cp", classpath, "com.alibaba.nacos.Nacos")
}

// Accounts are the properties of a server that wants its only account, the user nacos
// with the password nacos. Its tokens live so long (whole seconds); a token that was
// made with another secret is none.
func Accounts(life time.Duration, secret string) []string {
	key := sha512.Sum512([]byte(secret))
	return []string{
		"nacos.core.auth.enabled=true", "nacos.core.auth.system.type=nacos",
		"nacos.core.auth.server.identity.key=rig", "nacos.core.auth.server.identity.value=rig",
		"nacos.core.auth.plugin.nacos.token.secret.key=" + base64.StdEncoding.EncodeToString(key[:]),
		"nacos.core.auth.plugin.nacos.token.expire.seconds=" + strconv.Itoa(int(life.Seconds())),
	}
}

// waitReady returns when naming and the config centre serve.
func (s *Server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	transport := &http.Transport{DisableKeepAlives: true}
	client := &http.Client{Transport: transport, Timeout: 2 * time.Second}
	defer transport.CloseIdleConnections()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for !s.ready(ctx, client) {
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

func (s *Server) ready(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Address()+"/nacos/v1/console/health/readiness", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	return err == nil && resp.StatusCode == http.StatusOK && string(body) == "OK"
}
