// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/samples/demo/internal/fleet"
	"github.com/graylane/graylane/test/rig/nacos"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

// openRegistry starts or finds the registry; end stops what was started.
func openRegistry(ctx context.Context, o options, dir string, say func(string, ...any)) (r fleet.Registry, end func(), err error) {
	r = fleet.Registry{Level: o.level}
	switch o.registry {
	case "embedded":
		s, err := etcd.Start(filepath.Join(dir, "etcd"))
		if err != nil {
			return r, nil, err
		}
		r.Protocol, r.Address = "etcdv3", s.Endpoint()
		return r, s.Close, nil
	case "rig:nacos":
		say("starting Nacos (its packages come from Maven, the first time takes a while)")
		s, err := nacos.Start(ctx, filepath.Join(dir, "nacos"))
		if err != nil {
			return r, nil, err
		}
		r.Protocol, r.Address = "nacos", s.Address()
		return r, func() { _ = s.Close() }, nil // the folder goes next; a process that stays is tied to this one
	case "rig:zookeeper":
		say("starting ZooKeeper (its packages come from Maven, the first time takes a while)")
		s, err := zookeeper.Start(ctx, filepath.Join(dir, "zookeeper"))
		if err != nil {
			return r, nil, err
		}
		r.Protocol, r.Address = "zookeeper", s.Address()
		return r, func() { _ = s.Close() }, nil // as above
	}
	if r.Protocol, r.Address, err = parseRegistry(o.registry); err != nil {
		return r, nil, err
	}
	return r, func() {}, reach(ctx, o.registry, r.Address)
}

// reach reports a registry that does not answer before anything is started.
func reach(ctx context.Context, name, address string) error {
	conn, err := (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("-registry %s: %w", name, err)
	}
	return conn.Close()
}
