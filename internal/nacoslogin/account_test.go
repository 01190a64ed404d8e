// SPDX-License-Identifier: Apache-2.0

package nacoslogin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server takes log-ins at one path and counts those that it gave a token.
type server struct {
	path, body string
	status     int
	n          int
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != s.path || r.FormValue("username") != "u" || r.FormValue("password") != "p&=" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.n++
	w.WriteHeader(s.status)
	_, _ = w.Write([]byte(strings.ReplaceAll(s.body, "abc", fmt.Sprint("abc", s.n)))) // the client sees it if it fails
}

func serve(t *testing.T, s *server) string {
	t.Helper()
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.URL + "/nacos"
}

// TestLogIn: the paths of Nacos 2 and of Nacos 3, and what is no token.
func TestLogIn(t *testing.T) {
	good := `{"accessToken":"abc","tokenTtl":18000,"globalAdmin":true}`
	for _, tc := range []struct {
		path, body string
		status     int
		token      string
	}{
		{"/nacos/v1/auth/users/login", good, 200, "abc1"},
		{"/nacos/v3/auth/user/login", good, 200, "abc1"},
		{"/nacos/v1/auth/users/login", "unknown user!", 403, ""},
		{"/nacos/v1/auth/users/login", "{}", 200, ""},
		{"/nacos/v1/auth/users/login", "<html>", 200, ""},
		{"/elsewhere", good, 200, ""},
	} {
		a := Account{Username: "u", Password: "p&="}
		token, err := a.Token(t.Context(), serve(t, &server{path: tc.path, body: tc.body, status: tc.status}))
		if token != tc.token || (err == nil) != (tc.token != "") {
			t.Errorf("%+v: got %q, %v", tc, token, err)
		}
		if err != nil && (!strings.Contains(err.Error(), "log in as u") || strings.Contains(err.Error(), "p&=")) {
			t.Errorf("%+v: %v, want the user without the password", tc, err)
		}
	}
	var nobody Account
	if token, err := nobody.Token(t.Context(), "http://127.0.0.1:1"); token != "" || err != nil {
		t.Errorf("without a user name: %q, %v", token, err)
	}
}

// TestTokenIsKept until it is about to end or a server does not take it.
func TestTokenIsKept(t *testing.T) {
	s := &server{path: "/nacos/v1/auth/users/login", body: `{"accessToken":"abc","tokenTtl":18000}`, status: 200}
	base := serve(t, s)
	a := Account{Username: "u", Password: "p&="}
	want := func(token string) {
		t.Helper()
		if got, err := a.Token(t.Context(), base); got != token || err != nil {
			t.Errorf("got %q, %v, want %q", got, err, token)
		}
	}
	want("abc1")
	want("abc1")
	a.Forget("abc0") // of long ago
	want("abc1")
	a.Forget("abc1")
	want("abc2")
	s.body = `{"accessToken":"abc","tokenTtl":0}`
	a.deaf = time.Now() // the pause is over
	a.Forget("abc2")
	want("abc3")
	want("abc4") // it was over at once
}

// TestDeniedText: an account that may not read a text is told so at each of its reads,
// one every 10 s for an hour; it logs in at once, then after at least 5, 10, 20, 40 and
// every 60 s. A server that comes back with another key much later is believed at once.
func TestDeniedText(t *testing.T) {
	s := &server{path: "/nacos/v1/auth/users/login", body: `{"accessToken":"abc","tokenTtl":18000}`, status: 200}
	base := serve(t, s)
	a := Account{Username: "u", Password: "p&="}
	denied := func() string {
		t.Helper()
		token, err := a.Token(t.Context(), base)
		if err != nil {
			t.Fatal(err)
		}
		a.Forget(token)
		return token
	}
	pass := func(d time.Duration) { a.deaf = a.deaf.Add(-d) } // the account's only other clock is the token's life
	var at []int
	for second := 0; second < 3600; second += 10 {
		before := s.n
		if denied(); s.n != before {
			at = append(at, second)
		}
		pass(10 * time.Second)
	}
	// A refusal at 0 s is followed by a log-in with the next read, and so on: pauses of
	// 5, 10, 20, 40 and 60 s, each seen by the first read after it, the log-in by the next.
	want := []int{0, 10, 20, 30, 50, 90}
	for next := 150; next < 3600; next += 60 {
		want = append(want, next)
	}
	if !slices.Equal(at, want) {
		t.Errorf("logged in at %v s, want %v", at, want)
	}
	pass(time.Hour)
	n := s.n
	denied()
	if denied(); s.n != n+1 || a.pause != firstPause {
		t.Errorf("after an hour: %d log-ins and a pause of %v, want 1 and %v", s.n-n, a.pause, firstPause)
	}
}
