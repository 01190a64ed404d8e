// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/common/nacos_server"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
)

// login holds the token of a user name and password.
type login struct {
	mu    sync.Mutex
	token string
	until time.Time
}

func (l *login) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = time.Time{}
}

// sign puts into a request what says who asks: a token, or a signature by keys.
func (s *shared) sign(ctx context.Context, c *conn, r rpc_request.IRequest) error {
	a := s.address
	if a.access != "" && a.secret != "" {
		(&nacos_server.NacosServer{}).InjectSign(r, r.GetHeaders(), constant.ClientConfig{AccessKey: a.access, SecretKey: a.secret})
	}
	token, err := s.token(ctx, c)
	if err == nil && token != "" {
		r.GetHeaders()["accessToken"] = token
	}
	return err
}

// token returns the token of the user name, "" if there is none.
func (s *shared) token(ctx context.Context, c *conn) (string, error) {
	a := s.address
	if a.username == "" {
		return "", nil
	}
	s.login.mu.Lock()
	defer s.login.mu.Unlock()
	if time.Now().After(s.login.until) {
		token, life, err := logIn(ctx, "http://"+c.server+a.path, a.username, a.password)
		if err != nil {
			return "", fmt.Errorf("log in as %s: %w", a.username, err)
		}
		s.login.token, s.login.until = token, time.Now().Add(life*9/10)
	}
	return s.login.token, nil
}

// logIn asks for a token: Nacos 3 has another path than 1 and 2.
func logIn(ctx context.Context, base, user, password string) (token string, life time.Duration, err error) {
	form := url.Values{"username": {user}, "password": {password}}.Encode()
	for _, path := range []string{"/v1/auth/users/login", "/v3/auth/user/login"} {
		var body []byte
		var status int
		status, body, err = do(ctx, http.MethodPost, base+path, form)
		if err != nil {
			return "", 0, err
		}
		if status == http.StatusNotFound || status == http.StatusGone {
			err = fmt.Errorf("%s: %d", path, status)
			continue
		}
		if status != http.StatusOK {
			return "", 0, fmt.Errorf("%d %s", status, strings.TrimSpace(string(body)))
		}
		var got struct {
			Token string `json:"accessToken"`
			TTL   int64  `json:"tokenTtl"` // s
		}
		if err := json.Unmarshal(body, &got); err != nil || got.Token == "" {
			return "", 0, errors.Join(errors.New("no token in the answer"), err)
		}
		return got.Token, time.Duration(got.TTL) * time.Second, nil
	}
	return "", 0, err
}

// fromEndpoint asks an address server for the list of servers: host[:port] a line.
func fromEndpoint(ctx context.Context, endpoint string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, operation)
	defer cancel()
	status, body, err := do(ctx, http.MethodGet, "http://"+endpoint+"/nacos/serverlist", "")
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

// do sends one HTTP request with no connection left behind.
func do(ctx context.Context, method, where, form string) (status int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, method, where, strings.NewReader(form))
	if err != nil {
		return 0, nil, err
	}
	if form != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
	resp, err := client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}
