// SPDX-License-Identifier: Apache-2.0

package etcd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/graylane/graylane/internal/center"
)

// LeaseTTLKey is the registry parameter that sets how long after a crash the
// process's entries stay: a Go duration, default 10s, range 1s to 10m, whole
// seconds (rounded up).
const LeaseTTLKey = "etcd.lease-ttl"

const (
	defaultLeaseTTL = 10 * time.Second
	minLeaseTTL     = time.Second
	maxLeaseTTL     = 10 * time.Minute

	defaultTimeout = 5 * time.Second // dubbo-go's constant.DefaultRegTimeout
)

// address says which etcd a client is for; it is the key of the shared client.
type address struct {
	endpoints          string // sorted host:port, joined by commas
	username, password string
}

func (a address) list() []string { return strings.Split(a.endpoints, ",") }

// parseAddress reads "host:port[,host:port]"; a scheme in front is ignored, as
// dubbo-go leaves it in Location when the address of dubbogo.yml has one.
func parseAddress(location string) (address, error) {
	var endpoints []string
	for part := range strings.SplitSeq(location, ",") {
		part = strings.TrimSpace(part)
		if _, rest, ok := strings.Cut(part, "://"); ok {
			part = rest
		}
		part = strings.TrimSuffix(part, "/")
		if part == "" {
			continue
		}
		host, port, err := net.SplitHostPort(part)
		if err != nil || host == "" || port == "" {
			return address{}, fmt.Errorf("etcd: address: got %q, want host:port[,host:port]", location)
		}
		endpoints = append(endpoints, part)
	}
	if len(endpoints) == 0 {
		return address{}, fmt.Errorf("etcd: address: got %q, want host:port[,host:port]", location)
	}
	slices.Sort(endpoints)
	return address{endpoints: strings.Join(slices.Compact(endpoints), ",")}, nil
}

// addressOf reads the address and the account of a registry or report URL.
func addressOf(u *common.URL) (address, error) {
	location := u.Location
	if location == "" {
		location = u.Address()
	}
	a, err := parseAddress(location)
	if err != nil {
		return address{}, err
	}
	a.username, a.password = u.Username, u.Password
	return a, nil
}

// durationOf reads a positive duration from u, or returns fallback if there is none.
func durationOf(u *common.URL, key string, fallback time.Duration) (time.Duration, error) {
	text := u.GetParam(key, "")
	if text == "" {
		return fallback, nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil { // how dubbo-go writes a registry's timeout into its metadata report
		text = strconv.FormatInt(ms, 10) + "ms"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("etcd: %s: got %q, want a duration above 0", key, text)
	}
	return d, nil
}

// options is what a registry URL says about time.
type options struct {
	timeout time.Duration // one operation of the caller
	ttl     time.Duration // lease
}

func optionsOf(u *common.URL) (options, error) {
	timeout, errTimeout := durationOf(u, constant.RegistryTimeoutKey, defaultTimeout)
	ttl, errTTL := durationOf(u, LeaseTTLKey, defaultLeaseTTL)
	if errTTL == nil && (ttl < minLeaseTTL || ttl > maxLeaseTTL) {
		errTTL = fmt.Errorf("etcd: %s: got %v, want %v to %v", LeaseTTLKey, ttl, minLeaseTTL, maxLeaseTTL)
	}
	return options{timeout: timeout, ttl: ttl}, errors.Join(errTimeout, errTTL)
}

// Check asks whether the etcd at address ("host:port[,host:port]", a scheme in
// front is allowed) can serve: one of its endpoints accepts a connection and the
// cluster has a leader. It returns nil, or one line that names address and cause.
// A refused connection is reported at once; anything else takes at most ctx, or
// 5 s if ctx has no deadline.
func Check(ctx context.Context, address string) error { return check(ctx, "registry", address) }

func check(ctx context.Context, what, address string) error {
	a, err := parseAddress(address)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	if err := center.Dial(ctx, a.list()); err != nil {
		return fmt.Errorf("etcd: %s %s cannot be reached: %w", what, a.endpoints, err)
	}
	s := acquire(a)
	defer s.release()
	c, err := s.client(ctx)
	if err == nil {
		_, err = c.Get(ctx, "graylane", clientv3.WithCountOnly())
	}
	if err == nil || errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) {
		return nil // an etcd that wants an account is up
	}
	return fmt.Errorf("etcd: %s %s does not answer: %w", what, a.endpoints, s.explain(err))
}

// explain adds to an error of the etcd client what the network says. The client
// waits for a connection until the deadline and then only says so.
func (s *shared) explain(err error) error {
	if err == nil || !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if cause := center.Dial(ctx, s.address.list()); cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// Check is [Check] for the registry's own address.
func (r *Registry) Check(ctx context.Context) error {
	return Check(ctx, r.registrar.shared.address.endpoints)
}

// Check is [Check] for the discovery's own address.
func (d *Discovery) Check(ctx context.Context) error {
	return Check(ctx, d.registrar.shared.address.endpoints)
}
