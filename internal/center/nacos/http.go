// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds what is read of an answer: a text in Nacos has at most 10 MB,
// a rule a few KB.
const maxAnswer = 4 << 20

const configs = "/v1/cs/configs"

// answer is a response that came, whatever its status.
type answer struct {
	status int
	header http.Header
	body   string
}

// fault makes an error of an answer that is not what was asked for.
func (a answer) fault() error {
	text, _, _ := strings.Cut(strings.TrimSpace(a.body), "\n")
	return fmt.Errorf("status %d: %.200s", a.status, text)
}

// denied reports that the account may not have what was asked for.
func (a answer) denied() bool {
	return a.status == http.StatusForbidden || a.status == http.StatusUnauthorized
}

// refusal is the answer of a server that works, to this account.
type refusal struct{ error }

func (s *Source) do(ctx context.Context, method, server, path string, query, form url.Values, header http.Header) (answer, error) {
	target := "http://" + server + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(req.Header, header)
	if len(form) > 0 {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	}
	resp, err := s.http.Do(req)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // without the address, which is said already
		}
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }() // nothing depends on it
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	return answer{status: resp.StatusCode, header: resp.Header, body: string(body)}, nil
}

// ask is do with the account's token.
func (s *Source) ask(ctx context.Context, method, server string, path string, query, form url.Values, header http.Header) (answer, error) {
	token, err := s.account.Token(ctx, "http://"+server)
	if err != nil {
		return answer{}, err
	}
	if header == nil {
		header = http.Header{}
	}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	a, err := s.do(ctx, method, server, path, query, form, header)
	if err == nil && a.denied() {
		s.account.Forget(token) // the next attempt logs in again
	}
	return a, err
}

// get returns a text and its MD5, both "" if there is none.
func (s *Source) get(ctx context.Context, group, key string) (text, md5sum string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return s.getFrom(ctx, s.servers[s.server], group, key)
}

func (s *Source) getFrom(ctx context.Context, server, group, key string) (text, md5sum string, err error) {
	query := url.Values{"dataId": {key}, "group": {group}}
	if s.tenant != "" {
		query.Set("tenant", s.tenant)
	}
	a, err := s.ask(ctx, http.MethodGet, server, configs, query, nil, nil)
	if err == nil && a.denied() && s.account.Username != "" { // by an old token, perhaps
		a, err = s.ask(ctx, http.MethodGet, server, configs, query, nil, nil)
	}
	switch {
	case err != nil:
		return "", "", err
	case a.denied():
		return "", "", &refusal{a.fault()}
	case a.status == http.StatusOK:
		return a.body, cmp.Or(a.header.Get("Content-MD5"), sum(a.body)), nil
	case a.status == http.StatusNotFound && strings.Contains(a.body, "config data not exist"):
		return "", "", nil
	}
	return "", "", a.fault()
}

// listen returns which entries differ from what the server has, as group \x02 key.
// It waits until there is one, about 10 s at most.
func (s *Source) listen(ctx context.Context, entries []*entry) ([]string, error) {
	var list strings.Builder
	for _, e := range entries {
		list.WriteString(e.key + "\x02" + e.group + "\x02" + e.md5)
		if s.tenant != "" {
			list.WriteString("\x02" + s.tenant)
		}
		list.WriteString("\x01")
	}
	header := http.Header{}
	header.Set("Long-Pulling-Timeout", strconv.FormatInt(hold.Milliseconds(), 10))
	a, err := s.ask(ctx, http.MethodPost, s.servers[s.server], configs+"/listener", nil, url.Values{"Listening-Configs": {list.String()}}, header)
	if err != nil {
		return nil, err
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusGone, http.StatusNotImplemented:
		s.polling = true
		return nil, nil
	case http.StatusForbidden, http.StatusUnauthorized: // of one of them, or by an old token: each is asked for
		all := make([]string, 0, len(entries))
		for _, e := range entries {
			all = append(all, e.group+"\x02"+e.key)
		}
		return all, nil
	default:
		return nil, a.fault()
	}
	// key \x02 group [\x02 tenant] \x01 …, percent-encoded
	raw, err := url.QueryUnescape(strings.TrimSpace(a.body))
	if err != nil {
		return nil, fmt.Errorf("listener: got %.200q: %w", a.body, err)
	}
	var changed []string
	for line := range strings.SplitSeq(raw, "\x01") {
		if part := strings.Split(line, "\x02"); len(part) >= 2 {
			changed = append(changed, part[1]+"\x02"+part[0])
		}
	}
	return changed, nil
}
