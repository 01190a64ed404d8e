// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"

	"github.com/graylane/graylane/internal/center"
)

const (
	defaultTimeout = 5 * time.Second // dubbo-go's constant.DefaultRegTimeout
	defaultGroup   = "DEFAULT_GROUP" // Nacos's, dubbo-go's and Java's
	publicSpace    = "public"        // what Nacos calls the namespace without a name
	grpcOffset     = 1000            // from the HTTP port to the gRPC port; Nacos fixes it
)

// address says which Nacos, and whose part of it, a connection is for; it is the
// key of the shared connection.
type address struct {
	servers            string // sorted host:port of HTTP, joined by commas; empty with an endpoint
	path               string // of the HTTP API, "/nacos" by default
	endpoint           string // host:port of an address server that lists the servers
	namespace          string
	username, password string
	access, secret     string // keys that sign requests
	app                string
}

// where names the servers in messages.
func (a address) where() string {
	if a.endpoint != "" {
		return a.endpoint
	}
	return a.servers
}

// parseServers reads "host:port[/path][,host:port[/path]]"; a scheme in front is
// ignored, as dubbo-go leaves it in Location when the address of dubbogo.yml has one.
func parseServers(location string) (servers, path string, err error) {
	var list []string
	for part := range strings.SplitSeq(location, ",") {
		part = strings.TrimSpace(part)
		if _, rest, ok := strings.Cut(part, "://"); ok {
			part = rest
		}
		part, _, _ = strings.Cut(part, "?")
		part, own, _ := strings.Cut(part, "/")
		if part == "" {
			continue
		}
		host, port, err := net.SplitHostPort(part)
		n, bad := strconv.Atoi(port)
		if err != nil || host == "" || bad != nil || n <= 0 || n+grpcOffset > 65535 {
			return "", "", fmt.Errorf("nacos: address: got %q, want host:port[,host:port]", location)
		}
		if own = strings.Trim(own, "/"); own != "" {
			path = "/" + own
		}
		list = append(list, part)
	}
	if len(list) == 0 {
		return "", "", fmt.Errorf("nacos: address: got %q, want host:port[,host:port]", location)
	}
	slices.Sort(list)
	return strings.Join(slices.Compact(list), ","), path, nil
}

// addressOf reads a registry URL as dubbo-go does.
func addressOf(u *common.URL) (address, error) {
	a := address{
		path:      "/nacos",
		endpoint:  u.GetParam(constant.NacosEndpoint, ""),
		namespace: u.GetParam(constant.RegistryNamespaceKey, u.GetParam(constant.NacosNamespaceID, "")),
		username:  u.Username, password: u.Password,
		access: u.GetParam(constant.RegistryAccessKey, u.GetParam(constant.NacosAccessKey, "")),
		secret: u.GetParam(constant.RegistrySecretKey, u.GetParam(constant.NacosSecretKey, "")),
		app:    u.GetParam(constant.NacosAppNameKey, ""),
	}
	if a.username == "" {
		a.username, a.password = u.GetParam(constant.NacosUsername, ""), u.GetParam(constant.NacosPassword, "")
	}
	if a.namespace == "" {
		a.namespace = publicSpace
	}
	if a.endpoint != "" {
		return a, nil
	}
	location := u.Location
	if location == "" {
		location = u.Address()
	}
	servers, path, err := parseServers(location)
	if err != nil {
		return address{}, err
	}
	a.servers = servers
	if path == "" {
		path = strings.TrimSuffix(u.Path, "/")
	}
	if path != "" {
		a.path = path
	}
	return a, nil
}

// groupOf returns the Nacos group of a registry: registry.group, default DEFAULT_GROUP.
func groupOf(u *common.URL) string { return u.GetParam(constant.RegistryGroupKey, defaultGroup) }

// timeoutOf returns how long one operation of the caller may take.
func timeoutOf(u *common.URL) (time.Duration, error) {
	text := u.GetParam(constant.RegistryTimeoutKey, "")
	if text == "" {
		return defaultTimeout, nil
	}
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
		text = strconv.FormatInt(ms, 10) + "ms"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("nacos: %s: got %q, want a duration above 0", constant.RegistryTimeoutKey, text)
	}
	return d, nil
}

// Check asks whether the Nacos at address ("host:port[,host:port]", a scheme in
// front is allowed) serves naming requests. It returns nil, or one line that names
// address and cause, after ctx at the latest, or 5 s if ctx has no deadline; a
// connection that is refused everywhere is reported at once.
func Check(ctx context.Context, address string) error {
	u, err := common.NewURL(Name+"://"+address, common.WithLocation(address))
	if err != nil {
		return fmt.Errorf("nacos: address: %w", err)
	}
	a, err := addressOf(u)
	if err != nil {
		return err
	}
	return check(ctx, a)
}

func check(ctx context.Context, a address) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, defaultTimeout)
		defer cancel()
	}
	if a.endpoint == "" {
		if err := center.Dial(ctx, grpcAddresses(a.servers)); err != nil {
			return fmt.Errorf("nacos: registry %s cannot be reached: %w", a.where(), err)
		}
	}
	s := acquire(a)
	defer s.release()
	if _, err := s.conn(ctx); err != nil {
		return fmt.Errorf("nacos: registry %s does not answer: %w", a.where(), err)
	}
	return nil
}

// grpcAddress returns the gRPC address of a server whose HTTP address is given.
func grpcAddress(server string) string {
	host, port, err := net.SplitHostPort(server)
	n, bad := strconv.Atoi(port)
	if err != nil || bad != nil {
		return server
	}
	return net.JoinHostPort(host, strconv.Itoa(n+grpcOffset))
}

// grpcAddresses returns those of servers joined by commas.
func grpcAddresses(servers string) []string {
	var list []string
	for server := range strings.SplitSeq(servers, ",") {
		list = append(list, grpcAddress(server))
	}
	return list
}
