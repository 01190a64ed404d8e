// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/graylane/graylane/internal/conf"
)

// check is one thing that must pass before the instance registers.
type check struct {
	name string
	try  func(ctx context.Context) error
}

// checksOf returns the checks that the settings name.
func checksOf(c conf.Check) []check {
	var list []check
	if c.HTTP != "" {
		list = append(list, check{"http " + c.HTTP, func(ctx context.Context) error { return checkHTTP(ctx, c.HTTP) }})
	}
	if c.TCP != "" {
		list = append(list, check{"tcp " + c.TCP, func(ctx context.Context) error { return checkTCP(ctx, c.TCP) }})
	}
	if c.GRPC != "" {
		list = append(list, check{"grpc " + c.GRPC, func(ctx context.Context) error { return checkGRPC(ctx, c.GRPC) }})
	}
	return list
}

// round asks all checks, again and again until they pass.
type round struct {
	checks                   []check
	interval, timeout, limit time.Duration
}

// pass returns nil when all checks have passed in one round, an error that names
// the first that did not when the limit is over, or ctx's.
func (r round) pass(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, r.limit)
	defer cancel()
	for {
		failed, err := r.once(limited)
		if err == nil {
			return nil
		}
		if sleep(limited, r.interval) == nil {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("register.check: %s: not passed within %v: %w", failed, r.limit, err)
	}
}

// once returns the name and the error of the first check that does not pass.
func (r round) once(ctx context.Context) (name string, err error) {
	for _, c := range r.checks {
		once, cancel := context.WithTimeout(ctx, r.timeout)
		err := within(r.timeout, func() error { return c.try(once) })
		cancel()
		if err != nil {
			return c.name, err
		}
	}
	return "", nil
}

// checkHTTP wants what Kubernetes wants of a probe: a status from 200 to 399. It
// follows no redirect.
func checkHTTP(ctx context.Context, target string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		return reason(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("status %d, want 200 to 399", resp.StatusCode)
	}
	return nil
}

func checkTCP(ctx context.Context, target string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		return reason(err)
	}
	return conn.Close()
}

// checkGRPC asks the gRPC health service, which Triple serves too. target is
// host:port or host:port/service.
func checkGRPC(ctx context.Context, target string) error {
	address, service, _ := strings.Cut(target, "/")
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy())
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		s := status.Convert(err)
		return fmt.Errorf("%v: %s", s.Code(), s.Message())
	}
	if got := answer.GetStatus(); got != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("status %v, want SERVING", got)
	}
	return nil
}

// reason keeps of an error what a reader of one line needs.
func reason(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	return cause(err)
}
