// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	rate     int
	timeout  time.Duration
	registry string
	level    string
	keep     bool
	compare  bool
	full     bool
	json     bool
}

// The bounds of -rate: below, a share says nothing; above, two cores are full.
const minRate, maxRate = 10, 5000

// The bounds of -timeout.
const minTimeout, maxTimeout = 100 * time.Millisecond, time.Minute

func (o *options) check() error {
	if o.rate < minRate || o.rate > maxRate {
		return fmt.Errorf("-rate: got %d, want %d to %d", o.rate, minRate, maxRate)
	}
	if o.timeout < minTimeout || o.timeout > maxTimeout {
		return fmt.Errorf("-timeout: got %v, want %v to %v", o.timeout, minTimeout, maxTimeout)
	}
	if o.level != "interface" && o.level != "application" {
		return fmt.Errorf("-level: got %q, want interface or application", o.level)
	}
	switch o.registry {
	case "embedded", "rig:nacos", "rig:zookeeper":
		return nil
	}
	_, _, err := parseRegistry(o.registry)
	return err
}

// parseRegistry splits scheme://host:port into dubbo-go's name of the registry and
// its address.
func parseRegistry(s string) (protocol, address string, err error) {
	scheme, address, _ := strings.Cut(s, "://")
	protocol = map[string]string{"etcd": "etcdv3", "nacos": "nacos", "zookeeper": "zookeeper"}[scheme]
	if _, _, err := net.SplitHostPort(address); protocol == "" || err != nil {
		return "", "", fmt.Errorf("-registry: got %q, want embedded, etcd://, nacos:// or zookeeper://host:port, rig:nacos or rig:zookeeper", s)
	}
	return protocol, address, nil
}
