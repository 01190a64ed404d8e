// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/common/nacos_server"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"

	"github.com/graylane/graylane/internal/nacoslogin"
)

// tokenHeader carries the token of a user name and password.
const tokenHeader = "accessToken"

// sign puts into a request what says who asks: a token, or a signature by keys.
func (s *shared) sign(ctx context.Context, c *conn, r rpc_request.IRequest) error {
	a := s.address
	if a.access != "" && a.secret != "" {
		(&nacos_server.NacosServer{}).InjectSign(r, r.GetHeaders(), constant.ClientConfig{AccessKey: a.access, SecretKey: a.secret})
	}
	token, err := s.token(ctx, c)
	if err != nil {
		return err
	}
	if token != "" {
		r.GetHeaders()[tokenHeader] = token
	}
	return nil
}

// token returns the token of the user name, "" if there is none.
func (s *shared) token(ctx context.Context, c *conn) (string, error) {
	return s.account.Token(ctx, "http://"+c.server+s.address.path)
}

// fromEndpoint asks an address server for the list of servers: host[:port] a line.
func fromEndpoint(ctx context.Context, endpoint string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, operation)
	defer cancel()
	status, body, err := nacoslogin.Do(ctx, http.MethodGet, "http://"+endpoint+"/nacos/serverlist", "")
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	var list []string
	for line := range strings.SplitSeq(string(body), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if _, _, err := net.SplitHostPort(line); err != nil {
			line = net.JoinHostPort(line, "8848")
		}
		list = append(list, line)
	}
	if status != http.StatusOK || len(list) == 0 {
		return nil, fmt.Errorf("endpoint %s: %d, no servers", endpoint, status)
	}
	return list, nil
}
