// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The real server is in the tests of cluster/rulecenter; here is what it does not
// do at will: an account, an answer that is none, a server that hangs.

// server speaks the part of Nacos' API that is used.
type server struct {
	mu      sync.Mutex
	texts   map[string]string // group/key/tenant
	asked   []string          // paths, with what matters of the query
	account string            // name:password, "" for none
	tokens  int
	changed chan struct{} // ends held requests

	down       bool        // answers 503, also those who wait
	refused    []time.Time // when
	noListener bool
	denied     string // "group/key/tenant" that the account may not read
	nonsense   bool   // says that everything changes all the time
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path)
	account, tokens := s.account, s.tokens
	s.mu.Unlock()
	if s.refuse(w) {
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/nacos"); {
	case path == login:
		if r.Form.Get("username")+":"+r.Form.Get("password") != account {
			http.Error(w, "unknown user", http.StatusForbidden)
			return
		}
		s.mu.Lock()
		s.tokens++
		s.mu.Unlock()
		_, _ = w.Write([]byte(`{"accessToken":"secret-token","tokenTtl":18000}`))
	case account != "" && (tokens == 0 || r.Header.Get("Authorization") != "Bearer secret-token"):
		http.Error(w, "no right", http.StatusForbidden)
	case path == configs:
		s.mu.Lock()
		key := r.Form.Get("group") + "/" + r.Form.Get("dataId") + "/" + r.Form.Get("tenant")
		text, ok := s.texts[key]
		denied := s.denied == key
		s.mu.Unlock()
		if denied {
			http.Error(w, "no right", http.StatusForbidden)
			return
		}
		if !ok {
			http.Error(w, "config data not exist", http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(text))
	case path == configs+"/listener" && !s.noListener:
		if s.nonsense {
			var all []string
			for line := range strings.SplitSeq(strings.TrimSuffix(r.Form.Get("Listening-Configs"), "\x01"), "\x01") {
				part := strings.Split(line, "\x02")
				all = append(all, part[0]+"\x02"+part[1])
			}
			_, _ = w.Write([]byte(url.QueryEscape(strings.Join(all, "\x01") + "\x01")))
			return
		}
		for !s.refuse(w) {
			s.mu.Lock()
			different, changed := s.different(r.Form.Get("Listening-Configs")), s.changed
			s.mu.Unlock()
			if different != "" {
				_, _ = w.Write([]byte(url.QueryEscape(different)))
				return
			}
			select {
			case <-changed:
			case <-r.Context().Done():
				return
			}
		}
	default:
		http.NotFound(w, r)
	}
}

// refuse reports a server that is down, and says so to who asks.
func (s *server) refuse(w http.ResponseWriter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		s.refused = append(s.refused, time.Now())
		http.Error(w, "starting", http.StatusServiceUnavailable)
	}
	return s.down
}

// outage is over when it has been seen for sure (a new follower ends the request
// that is open, and hears no answer to it); then there are no texts.
func (s *server) outage(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	s.down, s.refused = true, nil
	clear(s.texts)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	until(t, "the outage is seen", func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.down = len(s.refused) < 3
		return !s.down
	})
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("it does not come that %s", what)
		}
	}
}

// different returns what of a caller's list is not what is here.
func (s *server) different(list string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(list, "\x01"), "\x01") {
		part := append(strings.Split(line, "\x02"), "")
		if sum(s.texts[part[1]+"/"+part[0]+"/"+part[3]]) != part[2] {
			out.WriteString(part[0] + "\x02" + part[1] + "\x01")
		}
	}
	return out.String()
}

func (s *server) put(key, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.texts[key] = text
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *server) count(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, p := range s.asked {
		if p == "/nacos"+path {
			n++
		}
	}
	return n
}

func serve(t *testing.T, s *server) string {
	t.Helper()
	s.changed = make(chan struct{})
	if s.texts == nil {
		s.texts = make(map[string]string)
	}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return h.Listener.Addr().String()
}

func newSource(t *testing.T, address string, opts ...common.Option) *Source {
	t.Helper()
	u, err := common.NewURL("nacos://"+address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(u)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// follow starts to follow and returns what is told.
func follow(t *testing.T, s *Source, group string) <-chan string {
	t.Helper()
	told := make(chan string, 100)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Follow(ctx, group, "k", func(text string) { told <- text })
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return told
}

func expect(t *testing.T, told <-chan string, want string) {
	t.Helper()
	select {
	case got := <-told:
		if got != want {
			t.Fatalf("told %q, want %q", got, want)
		}
	case <-time.After(30 * time.Second):
		t.Fatalf("%q was not told", want)
	}
}

// login is the path of Nacos 1 and 2.
const login = "/v1/auth/users/login"

// TestAddress: what of dubbogo.yml leads where.
func TestAddress(t *testing.T) {
	for _, tc := range []struct {
		location, path string
		params         []string
		servers        string
		groups         string
		err            string
	}{
		{location: "127.0.0.1:8848", servers: "127.0.0.1:8848/nacos", groups: "DEFAULT_GROUP dubbo"},
		{location: "127.0.0.1:8848,localhost:8849", servers: "127.0.0.1:8848/nacos localhost:8849/nacos", groups: "DEFAULT_GROUP dubbo"},
		{location: "nacos.shop", servers: "nacos.shop:8848/nacos", groups: "DEFAULT_GROUP dubbo"},
		{location: "127.0.0.1:8848", path: "/own", servers: "127.0.0.1:8848/own", groups: "DEFAULT_GROUP dubbo"},
		{location: "127.0.0.1:8848/own/,localhost:8849", servers: "127.0.0.1:8848/own localhost:8849/nacos", groups: "DEFAULT_GROUP dubbo"},
		{location: "127.0.0.1:8848", params: []string{constant.ConfigGroupKey, "shop/a"}, servers: "127.0.0.1:8848/nacos", groups: "shop-a dubbo"},
		{location: "127.0.0.1:8848", params: []string{constant.ConfigGroupKey, "dubbo"}, servers: "127.0.0.1:8848/nacos", groups: "dubbo"},
		{location: "", err: "address"},
		{location: "127.0.0.1:8848", params: []string{constant.ConfigAccessKey, "ak"}, err: constant.ConfigAccessKey},
		{location: "127.0.0.1:8848", params: []string{constant.NacosEndpoint, "acm"}, err: constant.NacosEndpoint},
	} {
		u := common.NewURLWithOptions()
		u.Location, u.Path = tc.location, tc.path
		for n := 0; n < len(tc.params); n += 2 {
			u.SetParam(tc.params[n], tc.params[n+1])
		}
		s, err := New(u)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%q %v: error %v, want one that names %s", tc.location, tc.params, err, tc.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q %v: %v", tc.location, tc.params, err)
			continue
		}
		if got := strings.Join(s.servers, " "); got != tc.servers {
			t.Errorf("%q %q: servers %q, want %q", tc.location, tc.path, got, tc.servers)
		}
		if got := strings.Join(s.Groups(), " "); got != tc.groups {
			t.Errorf("%q %v: groups %q, want %q", tc.location, tc.params, got, tc.groups)
		}
		s.Close()
	}
}

// TestAccount: a log-in before the first question, another one when the token is
// not taken any more; a wrong password is told by Check, without the password.
func TestAccount(t *testing.T) {
	h := &server{account: "me:pass", texts: map[string]string{"dubbo/k/tenant": "a"}}
	address := serve(t, h)
	s := newSource(t, address, common.WithUsername("me"), common.WithPassword("pass"), common.WithParamsValue(constant.ConfigNamespaceKey, "tenant"))
	told := follow(t, s, "dubbo")
	expect(t, told, "a")
	if got := h.count(login); got != 1 {
		t.Errorf("%d log-ins, want 1", got)
	}
	h.mu.Lock()
	h.tokens = 0 // the server has forgotten its tokens
	h.mu.Unlock()
	h.put("dubbo/k/tenant", "b")
	expect(t, told, "b")
	if got := h.count(login); got != 2 {
		t.Errorf("%d log-ins, want 2", got)
	}

	wrong := newSource(t, address, common.WithUsername("me"), common.WithPassword("wrong-one"))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := wrong.Check(ctx); err == nil || !strings.Contains(err.Error(), "log in as me") || strings.Contains(err.Error(), "wrong-one") {
		t.Errorf("Check with a wrong password: %v, want the account without the password", err)
	}
}

// TestRefusedText: a text that the account may not read keeps no other one waiting, and
// is read once it may.
func TestRefusedText(t *testing.T) {
	h := &server{denied: "shop/k/", texts: map[string]string{"dubbo/k/": "a", "shop/k/": "b"}}
	s := newSource(t, serve(t, h))
	refused, told := follow(t, s, "shop"), follow(t, s, "dubbo")
	expect(t, told, "a")
	h.put("dubbo/k/", "c")
	expect(t, told, "c")
	h.put("dubbo/k/", "d")
	expect(t, told, "d")
	select {
	case text := <-refused:
		t.Errorf("told %q that is refused", text)
	default:
	}
	if n := h.count(configs); n > 20 {
		t.Errorf("asked %d times for two texts", n)
	}
	h.mu.Lock()
	h.denied = ""
	h.mu.Unlock()
	expect(t, refused, "b")
}

// TestNoListener: a server without long polling is asked every second.
func TestNoListener(t *testing.T) {
	h := &server{noListener: true, texts: map[string]string{"dubbo/k/": "a"}}
	s := newSource(t, serve(t, h))
	told := follow(t, s, "dubbo")
	expect(t, told, "a")
	h.put("dubbo/k/", "b")
	expect(t, told, "b")
}

// TestNonsense: a server that calls news what is none does not make us spin.
func TestNonsense(t *testing.T) {
	h := &server{nonsense: true, texts: map[string]string{"dubbo/k/": "a"}}
	s := newSource(t, serve(t, h))
	told := follow(t, s, "dubbo")
	expect(t, told, "a")
	began := time.Now()
	for h.count(configs) < 3 {
		if time.Since(began) > 30*time.Second {
			t.Fatal("not asked again")
		}
		time.Sleep(time.Millisecond)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("asked 3 times within %v, want one a second", took)
	}
	select {
	case text := <-told:
		t.Errorf("told %q again", text)
	default:
	}
}

// TestJoinWhileHeld: somebody who starts to follow while a request is held waits for
// nothing, and two may follow one text.
func TestJoinWhileHeld(t *testing.T) {
	h := &server{texts: map[string]string{"dubbo/k/": "a", "shop/k/": "b"}}
	s := newSource(t, serve(t, h))
	first := follow(t, s, "dubbo")
	expect(t, first, "a")
	began := time.Now()
	expect(t, follow(t, s, "shop"), "b")
	expect(t, follow(t, s, "dubbo"), "a")
	if took := time.Since(began); took > hold/2 {
		t.Errorf("a second follower waited %v", took)
	}
	select {
	case text := <-first:
		t.Errorf("the first was told %q again", text)
	default:
	}
}

// TestDeletedDuringOutage: a text that is missing after an outage is gone when the
// server has had time to load its texts, not before, and holds up nobody else.
func TestDeletedDuringOutage(t *testing.T) {
	for _, noListener := range []bool{false, true} {
		h := &server{noListener: noListener, texts: map[string]string{"dubbo/k/": "a"}}
		s := newSource(t, serve(t, h))
		told := follow(t, s, "dubbo")
		expect(t, told, "a")
		h.outage(t)
		h.put("shop/k/", "b")
		expect(t, follow(t, s, "shop"), "b")
		select {
		case text := <-told:
			t.Errorf("told %q before another text was read", text)
		default:
		}
		expect(t, told, "")
		h.mu.Lock()
		took := time.Since(h.refused[0])
		h.mu.Unlock()
		if took < settle || took > hold {
			t.Errorf("no listener: %t: gone %v after the outage, want %v or little more", noListener, took, settle)
		}
		h.put("dubbo/k/", "c")
		expect(t, told, "c")
	}
}

// TestLateAfterOutage: a server that says "there is none" until it has loaded its
// texts takes no rule away, and is heard as soon as it has them.
func TestLateAfterOutage(t *testing.T) {
	h := &server{texts: map[string]string{"dubbo/k/": "a", "shop/k/": "b"}}
	s := newSource(t, serve(t, h))
	first, second := follow(t, s, "dubbo"), follow(t, s, "shop")
	expect(t, first, "a")
	expect(t, second, "b")
	asked := h.count(configs)
	h.outage(t)
	until(t, "both are asked for", func() bool { return h.count(configs) >= asked+2 })
	h.put("dubbo/k/", "a")
	h.put("shop/k/", "c")
	expect(t, second, "c") // and not ""
	h.put("dubbo/k/", "d")
	expect(t, first, "d") // and neither "" nor "a" again
}

func TestCheckRefused(t *testing.T) {
	s := newSource(t, "127.0.0.1:1")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	if err := s.Check(ctx); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("Check: %v, want address and cause", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a refused connection was known after %v", took)
	}
}
