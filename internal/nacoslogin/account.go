// SPDX-License-Identifier: Apache-2.0

// Package nacoslogin logs in to a Nacos that wants a user name and a password.
//
// Nacos 1 and 2 take a log-in at one path, Nacos 3 at another; the token that comes
// back is good for hours. It is asked for anew when nine tenths of its life are over,
// or when a server does not take it any more: one that was restarted with another key.
// A server answers the same to an account that may not do a thing, as often as it is
// asked; so tokens that are refused soon after each other are replaced ever more seldom,
// down to once a minute.
package nacoslogin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Account is a user name and a password, and the token that they got. The zero Account
// is nobody's. It is safe for concurrent use; one log-in is under way at a time.
type Account struct {
	// The following fields are immutable.
	Username, Password string

	mu    sync.Mutex
	token string
	until time.Time
	pause time.Duration // after the last refusal that was believed
	deaf  time.Time     // the end of pause
}

// paths are those of Nacos 1 and 2, and of Nacos 3.
var paths = [...]string{"/v1/auth/users/login", "/v3/auth/user/login"} //nolint:gochecknoglobals // a constant

const (
	timeout    = 3 * time.Second // of one log-in
	firstPause = 5 * time.Second // between two refusals that are believed, doubling to
	mostPause  = time.Minute
)

// Token returns a token that is good, logging in at base ("http://host:port/nacos") if
// need be; "" without a user name. An error names the user, never the password.
func (a *Account) Token(ctx context.Context, base string) (string, error) {
	if a.Username == "" {
		return "", nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Now().Before(a.until) {
		return a.token, nil
	}
	token, life, err := a.logIn(ctx, base)
	if err != nil {
		return "", fmt.Errorf("log in as %s: %w", a.Username, err)
	}
	a.token, a.until = token, time.Now().Add(life*9/10)
	return token, nil
}

// Forget says that a server does not take token: the next [Account.Token] logs in
// again, unless that has been done since, or for the same reason less than 5 s ago, a
// pause that doubles to 1 minute and begins anew after 2 minutes without a refusal.
func (a *Account) Forget(token string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if a.token != token || now.Before(a.deaf) {
		return
	}
	if now.Sub(a.deaf) > 2*mostPause {
		a.pause = 0
	}
	a.pause = min(max(2*a.pause, firstPause), mostPause)
	a.deaf, a.until = now.Add(a.pause), time.Time{}
}

func (a *Account) logIn(ctx context.Context, base string) (token string, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	form := url.Values{"username": {a.Username}, "password": {a.Password}}.Encode()
	for _, path := range paths {
		status, body, err := Do(ctx, http.MethodPost, base+path, form)
		if err != nil {
			return "", 0, err
		}
		if status == http.StatusNotFound || status == http.StatusGone {
			continue
		}
		if status != http.StatusOK {
			return "", 0, fmt.Errorf("%d %.200s", status, strings.TrimSpace(string(body)))
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
	return "", 0, fmt.Errorf("%s has no log-in", base)
}

// Do sends one HTTP request, a form if there is one, with no connection left behind,
// and reads at most 1 MiB of the answer.
func Do(ctx context.Context, method, where, form string) (status int, body []byte, err error) {
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
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = fmt.Errorf("%s: %w", r.URL.Host, wrapped.Err) // without what the query says
		}
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, body, err
}
