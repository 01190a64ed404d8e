// SPDX-License-Identifier: Apache-2.0

package nacos

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/model"

	"github.com/graylane/graylane/internal/meta"
)

func TestAddress(t *testing.T) {
	for location, want := range map[string]string{
		"127.0.0.1:8848":                        "127.0.0.1:8848 /nacos",
		"nacos://b:8848, a:8848,":               "a:8848,b:8848 /nacos",
		"http://a:1/,a:1":                       "a:1 /nacos",
		"a:1/mse,b:2/mse":                       "a:1,b:2 /mse",
		"[::1]:8848":                            "[::1]:8848 /nacos",
		"":                                      "",
		",":                                     "",
		"a":                                     "",
		"a:b":                                   "",
		":1":                                    "",
		"a:65000":                               "", // gRPC would be above 65535
		"a:0":                                   "",
		"a:8848?namespace=x,b:8848?namespace=x": "a:8848,b:8848 /nacos",
	} {
		u := common.NewURLWithOptions(common.WithLocation(location))
		u.Location = location
		a, err := addressOf(u)
		got := ""
		if err == nil {
			got = a.servers + " " + a.path
		} else if !strings.Contains(err.Error(), "want host:port") {
			t.Errorf("%q: %v", location, err)
		}
		if got != want && location != "" {
			t.Errorf("%q: got %q, want %q", location, got, want)
		}
	}
	for text, want := range map[string]time.Duration{"": 5 * time.Second, "300ms": 300 * time.Millisecond, "700": 700 * time.Millisecond, "0s": 0, "x": 0, "-1s": 0} {
		got, err := timeoutOf(common.NewURLWithOptions(common.WithParamsValue(constant.RegistryTimeoutKey, text)))
		if got != want || (err == nil) != (want > 0) {
			t.Errorf("timeout %q: got %v, %v, want %v", text, got, err, want)
		}
	}
}

// TestWeigh: Dubbo's weight times what became of Nacos's since the instance registered.
func TestWeigh(t *testing.T) {
	golang := constant.ReleaseKey + "=dubbo-golang-3.3.2 "
	for _, tc := range []struct {
		metadata     string
		now          float64
		url, applied float64 // at interface level, at application level
	}{
		{"", 1, 100, 100},
		{"weight=0", 1, 100, 100},
		{"weight=50", 1, 50, 50}, // Java
		{"weight=50", 0.5, 25, 25},
		{"weight=50 release=3.3.6", 2, 100, 100},
		{golang + "weight=50", 50, 50, 2500},
		{golang + "weight=50", 25, 25, 1250},
		{golang + "weight=50", 0, 0, 0},
		{golang + "weight=20000", 10000, 20000, 2e8},
		{golang, 0.4, 40, 40},
		{golang, -1, 100, 100},
		{"graylane-nacos-weight=100 weight=100", 100, 1e4, 100},
		{"graylane-nacos-weight=100 weight=100", 40, 4000, 40},
		{"graylane-nacos-weight=0", 2, 200, 200},
		{meta.RegistryWeight + "=7", 1, 100, 100}, // a peer cannot say it
	} {
		host := model.Instance{Ip: "127.0.0.1", Port: 1, Weight: tc.now, Enable: true, Healthy: true, Metadata: map[string]string{"path": "/x", "protocol": "tri"}}
		for pair := range strings.FieldsSeq(tc.metadata) {
			k, v, _ := strings.Cut(pair, "=")
			host.Metadata[k] = v
		}
		u := providerURL(host)
		if got := meta.Weight(func(k string) string { return u.GetParam(k, "") }); got != tc.url {
			t.Errorf("%q, now %v: the URL weighs %v, want %v", tc.metadata, tc.now, got, tc.url)
		}
		i := decodeInstance("order", "", host)
		if got := meta.Weight(func(k string) string { return i.Metadata[k] }); got != tc.applied {
			t.Errorf("%q, now %v: the instance weighs %v, want %v", tc.metadata, tc.now, got, tc.applied)
		}
	}
}

// TestHostile: anybody can write to Nacos.
func TestHostile(t *testing.T) {
	for _, m := range []map[string]string{nil, {}, {"path": "/x"}, {"protocol": "tri"}, {"interface": "x"}} {
		if u := providerURL(model.Instance{Ip: "127.0.0.1", Port: 1, Metadata: m}); u != nil {
			t.Errorf("%v: got %s, want none", m, u)
		}
	}
	odd := map[string]string{"interface": "x", "protocol": "tri", "timestamp": "%zz&a=b", "é": "ü&=%", "weight": "NaN"}
	u := providerURL(model.Instance{Ip: "fe80::1", Port: 1, Weight: 1, Metadata: odd})
	if u == nil || u.GetParam("é", "") != "ü&=%" || u.GetParam("timestamp", "") != "%zz&a=b" || u.Path != "/x" {
		t.Errorf("got %v, want every value as it is", u)
	}
}

// TestDown: where nobody listens constructors return at once, everything else says
// why it fails, in time, and nothing is left behind.
func TestDown(t *testing.T) {
	noLeak(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port - grpcOffset
	where := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	u := registryURL(where, constant.RegistryTimeoutKey, "200ms")
	r, d := newRegistry(t, u), newDiscovery(t, u)
	for what, err := range map[string]error{
		"Check":                  Check(t.Context(), where),
		"Registry.Check":         r.Check(t.Context()),
		"Discovery.Check":        d.Check(t.Context()),
		"Register":               r.Register(provider("com.shop.Down", "tri", 1)),
		"Register instance":      d.Register(instance("down", 1, nil)),
		"LoadSubscribeInstances": r.LoadSubscribeInstances(consumer("com.shop.Down"), newProviders()),
	} {
		if err == nil || !strings.Contains(err.Error(), where) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: got %v, want an error with the address and the cause", what, err)
		}
	}
	if got := d.GetInstances("down"); got != nil {
		t.Errorf("GetInstances: got %v, want nil", got)
	}
	// What failed is not wanted any more, and what is not registered leaves at once.
	r.shared.mu.Lock()
	for key, v := range r.shared.services {
		if len(v.want) != 0 {
			t.Errorf("%s is still wanted", key)
		}
	}
	r.shared.mu.Unlock()
	if err := r.UnRegister(provider("com.shop.Down", "tri", 1)); err != nil {
		t.Error(err)
	}
	ended := subscribe(r, consumer("com.shop.Down"), newProviders())
	r.Destroy()
	<-ended
	if r.IsAvailable() {
		t.Error("available after Destroy")
	}
	for _, bad := range []string{"nowhere", "127.0.0.1:65000"} {
		if err := Check(t.Context(), bad); err == nil {
			t.Errorf("Check(%q): got no error", bad)
		}
		if _, err := NewRegistry(registryURL(bad)); err == nil {
			t.Errorf("NewRegistry(%q): got no error", bad)
		}
		if _, err := NewDiscovery(registryURL(bad)); err == nil {
			t.Errorf("NewDiscovery(%q): got no error", bad)
		}
	}
}

// TestEndpoint: the lines of an address server.
func TestEndpoint(t *testing.T) {
	noLeak(t)
	list, err := fromEndpoint(t.Context(), strings.TrimSuffix(strings.TrimPrefix(serveLines(t, "10.0.0.1:8849\n\n 10.0.0.2 \n"), "http://"), "/"))
	if err != nil || !slices.Equal(list, []string{"10.0.0.1:8849", "10.0.0.2:8848"}) {
		t.Errorf("endpoint: got %v, %v", list, err)
	}
	if _, err := fromEndpoint(t.Context(), strings.TrimPrefix(serveLines(t, ""), "http://")); err == nil {
		t.Error("an endpoint without servers: got no error")
	}
}

func serveLines(t *testing.T, body string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(body)) // the client sees it if it fails
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// TestFolders: folders are of this process unless the user names some; those of
// processes that are gone go.
func TestFolders(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	u := common.NewURLWithOptions(common.WithParamsValue(constant.NacosLogDirKey, "/mine"))
	base := filepath.Join(os.TempDir(), "graylane-nacos-"+strconv.Itoa(os.Getuid()))
	gone, other := filepath.Join(base, "999999999"), filepath.Join(base, "notes")
	for _, dir := range []string{gone, other, filepath.Join(base, strconv.Itoa(os.Getppid()))} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ownFolders(u)
	if got, want := u.GetParam(constant.NacosCacheDirKey, ""), filepath.Join(base, strconv.Itoa(os.Getpid()), "cache"); got != want {
		t.Errorf("cache: got %q, want %q", got, want)
	}
	if got := u.GetParam(constant.NacosLogDirKey, ""); got != "/mine" {
		t.Errorf("log: got %q, want what the user named", got)
	}
	left, err := os.ReadDir(base)
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if err != nil || slices.Contains(names, "999999999") || len(names) != 2 {
		t.Errorf("left are %v, %v; want the parent's and notes", names, err)
	}
}

// TestPools: one connection per Nacos, namespace and account.
func TestPools(t *testing.T) {
	noLeak(t)
	one := newRegistry(t, registryURL("127.0.0.1:1,127.0.0.2:1"))
	same := newDiscovery(t, registryURL("127.0.0.2:1, 127.0.0.1:1"))
	if one.shared != same.applications.shared {
		t.Error("the same servers in another order have a connection of their own")
	}
	for _, params := range [][]string{{constant.RegistryNamespaceKey, "dev"}, {constant.NacosUsername, "u"}, {constant.RegistryAccessKey, "k"}} {
		if r := newRegistry(t, registryURL("127.0.0.1:1,127.0.0.2:1", params...)); r.shared == one.shared {
			t.Errorf("%v shares a connection", params)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := one.shared.conn(ctx); err == nil {
		t.Error("a connection to nobody")
	}
}
