// SPDX-License-Identifier: Apache-2.0

// Package etcd runs a real one-node etcd inside the process, for tests and for
// the demo, or, as a [Process], in one of its own that can be killed.
//
// It listens on 127.0.0.1 only, on free ports, keeps its data in the folder it
// is given and logs errors only. [Server.Stop] and [Server.Restart] play the
// part of an etcd that is restarted on the same port with the same data.
//
// Neither is safe for concurrent use, except Endpoint and Address.
package etcd

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

// startTimeout bounds one start: a one-node etcd elects itself in about a second.
const startTimeout = 30 * time.Second

// startAttempts is how often Start tries another pair of ports when another
// process took one between our look and etcd's listen.
const startAttempts = 5

// Server is one running, or stopped, etcd node.
type Server struct {
	dir                   string
	client, backend, peer string // host:port: where clients connect, where etcd listens for them and for peers
	node                  *embed.Etcd
	front                 *front
}

// Start starts etcd with its data in dir (created when it does not exist) and
// returns when it serves, after at most 30 s.
func Start(dir string) (*Server, error) {
	if dir == "" {
		return nil, errors.New("etcd: dir: got \"\", want a folder for the data")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("etcd: dir: %w", err)
	}
	var err error
	for range startAttempts {
		var ports []string
		if ports, err = freePorts(3); err != nil {
			return nil, err
		}
		s := &Server{dir: dir, client: ports[0], backend: ports[1], peer: ports[2]}
		if err = s.run(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// Endpoint returns the address that clients use, "127.0.0.1:port". It stays the
// same over Stop and Restart.
func (s *Server) Endpoint() string { return s.client }

// Stop cuts all connections, stops the node and keeps its data. Stopping a stopped
// node does nothing.
func (s *Server) Stop() {
	if s.node == nil {
		return
	}
	s.front.close()
	s.node.Close()
	s.node = nil
}

// Restart starts a stopped node again: same port, same data.
func (s *Server) Restart() error {
	if s.node != nil {
		return errors.New("etcd: restart: the node is running, want it stopped")
	}
	return s.run()
}

// Close stops the node. The data stay in the folder; it belongs to the caller.
func (s *Server) Close() { s.Stop() }

func (s *Server) run() error {
	listener, err := net.Listen("tcp", s.client)
	if err != nil {
		return fmt.Errorf("etcd: start at %s: %w", s.client, err)
	}
	node, err := start(s.dir, s.client, s.backend, s.peer)
	if err != nil {
		_ = listener.Close()
		return err
	}
	s.node, s.front = node, newFront(listener, s.backend)
	return nil
}

// start starts a node that clients find at client and that listens at backend and
// peer, and returns when it serves.
func start(dir, client, backend, peer string) (*embed.Etcd, error) {
	cfg := embed.NewConfig()
	cfg.Dir = dir
	cfg.LogLevel = "fatal" // a stop and a port in use are reported by errors, not by log lines
	cfg.LogOutputs = []string{embed.StdErrLogOutput}
	at := func(host string) []url.URL { return []url.URL{{Scheme: "http", Host: host}} }
	cfg.ListenClientUrls, cfg.AdvertiseClientUrls = at(backend), at(client)
	cfg.ListenPeerUrls, cfg.AdvertisePeerUrls = at(peer), at(peer)
	cfg.InitialCluster = cfg.InitialClusterFromName(cfg.Name)
	// Short elections: one node has nobody to wait for.
	cfg.TickMs, cfg.ElectionMs = 50, 250
	cfg.UnsafeNoFsync = true // the data need not survive a power cut

	node, err := embed.StartEtcd(cfg)
	if err != nil {
		return nil, fmt.Errorf("etcd: start at %s: %w", client, err)
	}
	late := time.NewTimer(startTimeout)
	defer late.Stop()
	select {
	case <-node.Server.ReadyNotify():
		return node, nil
	case err = <-node.Err():
	case <-node.Server.StopNotify():
		err = errors.New("stopped while starting")
	case <-late.C:
		err = fmt.Errorf("not ready within %v", startTimeout)
	}
	node.Close()
	return nil, fmt.Errorf("etcd: start at %s: %w", client, err)
}

// freePorts returns n different free loopback addresses. They are held together
// so that the kernel cannot hand out one twice.
func freePorts(n int) ([]string, error) {
	addrs := make([]string, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("etcd: free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}
