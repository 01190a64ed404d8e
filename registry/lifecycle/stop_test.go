// SPDX-License-Identifier: Apache-2.0

package lifecycle

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/graylane/graylane/filter/shutdown"
	"github.com/graylane/graylane/filter/tag"
	"github.com/graylane/graylane/internal/ack"
	"github.com/graylane/graylane/internal/conf"
	"github.com/graylane/graylane/internal/testkit/etcd"
	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/internal/testkit/ports"
)

var quick = conf.Shutdown{QuietPeriod: 100 * time.Millisecond, Notice: 500 * time.Millisecond, Timeout: 20 * time.Second, RegistryTimeout: 2 * time.Second}

// startTime returns when the instance of a line of the test registries was born.
func startTime(t *testing.T, line string) time.Time {
	t.Helper()
	var m map[string]string
	if err := json.Unmarshal([]byte(line[strings.IndexByte(line, '{'):]), &m); err != nil {
		t.Fatal(err)
	}
	ms, err := strconv.ParseInt(m["StartTime"], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return time.UnixMilli(ms)
}

// rig is a real etcd and a look into it.
type rig struct {
	*etcd.Server
	t      *testing.T
	client *clientv3.Client
}

func startEtcd(t *testing.T) *rig {
	t.Helper()
	need.Long(t, "starts processes")
	s, err := etcd.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.Endpoint()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &rig{s, t, c}
}

// entries returns what is registered: "<protocol> <service>" at interface level,
// "<address> <services>" at application level, with the revision in revisions.
func (r *rig) entries() (list []string, revisions map[string]string) {
	r.t.Helper()
	revisions = map[string]string{}
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	answer, err := r.client.Get(ctx, "/", clientv3.WithPrefix())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, kv := range answer.Kvs {
		key := string(kv.Key)
		switch {
		case strings.Contains(key, "/providers/"):
			node, err := url.QueryUnescape(key[strings.LastIndexByte(key, '/')+1:])
			if err != nil {
				r.t.Fatal(err)
			}
			protocol, _, _ := strings.Cut(node, "://")
			list = append(list, protocol+" "+strings.Split(key, "/")[2])
		case strings.HasPrefix(key, "/services/"):
			var i struct {
				Metadata        map[string]string
				ServiceMetadata struct{ Services map[string]any }
			}
			if err := json.Unmarshal(kv.Value, &i); err != nil {
				r.t.Fatal(err)
			}
			var services []string
			for name := range i.ServiceMetadata.Services {
				services = append(services, name[strings.LastIndexByte(name[:strings.IndexByte(name, ':')], '.')+1:])
			}
			slices.Sort(services)
			address := key[strings.LastIndexByte(key, '/')+1:]
			list = append(list, address+" "+strings.Join(services, ","))
			revisions[address] = i.Metadata["dubbo.metadata.revision"]
		}
	}
	slices.Sort(list)
	return list, revisions
}

// Steps of this test, with a process of three services over two protocols, at both
// levels of two registries of one type:
//  1. all of it is registered at both;
//  2. one service ends at run time: it alone is taken out, over both protocols, at
//     both levels and of both registries; the instance stays with a new revision,
//     and calls of the others go on;
//  3. all others end: the instance leaves, too;
//  4. SIGTERM: nothing of it is left at either.
func TestServicesAndRegistries(t *testing.T) {
	one, two := startEtcd(t), startEtcd(t)
	p := provider{
		Tri: ports.Free(), Dubbo: ports.Free(), More: true, Both: true, Require: true, Timeout: patience, Shutdown: quick,
		Registries: []string{"etcdv3://" + one.Endpoint(), "etcdv3://" + two.Endpoint()},
	}
	instances := []string{fmt.Sprintf("127.0.0.1:%d", p.Tri), fmt.Sprintf("127.0.0.1:%d", p.Dubbo)}
	expect := func(when string, services ...string) (revisions []string) {
		t.Helper()
		var want, names []string
		for _, protocol := range []string{"dubbo", "tri"} {
			for _, s := range services {
				want = append(want, protocol+" "+s)
				names = append(names, s[strings.LastIndexByte(s, '.')+1:]+":"+protocol)
			}
		}
		slices.Sort(names)
		for _, i := range instances {
			if len(services) > 0 {
				want = append(want, i+" "+strings.Join(names, ","))
			}
		}
		slices.Sort(want)
		for _, r := range []*rig{one, two} {
			got, revs := r.entries()
			if !slices.Equal(got, want) {
				t.Errorf("%s: %s has\n%s\nwant\n%s", when, r.Endpoint(), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, i := range instances {
				revisions = append(revisions, revs[i])
			}
		}
		return revisions
	}

	// 1.
	c := start(t, p)
	c.await("SAY ready")
	before := expect("registered", triService, dubboService, moreService)

	// 2.
	call := c.dial("tri", p.Tri)
	running := make(chan error, 1)
	go func() { _, err := call("web-1", "1s"); running <- err }()
	c.tell("unexport " + moreService)
	c.await("SAY unexported " + moreService)
	after := expect("one service unexported", triService, dubboService)
	for i := range before {
		if before[i] == after[i] || after[i] == "" || after[i] != after[0] {
			t.Errorf("revisions %v, before %v: want one, another", after, before)
		}
	}
	if err := <-running; err != nil {
		t.Errorf("a call of another service: %v", err)
	}
	if state, err := call("web-1", "1ms"); err != nil || strings.HasPrefix(state, "closing") {
		t.Errorf("another service after it: %q, %v; want it to serve on, not closing", state, err)
	}

	// 3.
	for _, s := range []string{triService, dubboService} {
		c.tell("unexport " + s)
		c.await("SAY unexported " + s)
	}
	expect("all services unexported")
	if _, err := call("web-1", "1ms"); err != nil {
		t.Errorf("a call within the notice: %v", err)
	}

	// 4.
	c.terminate()
	c.exit(0)
	expect("after SIGTERM")
	c.report()
}

// Three services over two protocols leave two registries of one type at SIGTERM, at
// both levels of each.
func TestAllLeave(t *testing.T) {
	one, two := startEtcd(t), startEtcd(t)
	p := provider{
		Tri: ports.Free(), Dubbo: ports.Free(), More: true, Both: true, Require: true, Timeout: patience, Shutdown: quick,
		Registries: []string{"etcdv3://" + one.Endpoint(), "etcdv3://" + two.Endpoint()},
	}
	c := start(t, p)
	c.await("SAY ready")
	// dubbo-go races with itself when a server stops that nobody ever called.
	if _, err := c.dial("tri", p.Tri)("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	c.terminate()
	c.exit(0)
	for _, r := range []*rig{one, two} {
		if list, _ := r.entries(); len(list) != 0 {
			t.Errorf("%s still has %v", r.Endpoint(), list)
		}
	}
	c.never("shutdown: deregister") // no warning
}

// A process that only calls others leaves when its calls have returned.
func TestConsumerOnly(t *testing.T) {
	t.Run("a call is in flight", func(t *testing.T) {
		t.Parallel()
		c := start(t, provider{Outgoing: 800 * time.Millisecond, Shutdown: quick})
		c.await("SAY ready")
		c.tell("call")
		c.await("SAY calling")
		c.terminate()
		c.exit(0)
		lines := strings.Join(c.all(), "\n")
		if ended := strings.Index(lines, "SAY call ended"); ended < 0 || ended > strings.Index(lines, "SAY stopped") {
			t.Errorf("the process did not wait for its call:\n%s", lines)
		}
	})
	t.Run("main returns without a signal", func(t *testing.T) {
		t.Parallel()
		c := start(t, provider{Outgoing: 800 * time.Millisecond, Context: true, Shutdown: quick})
		c.await("SAY ready")
		c.tell("call")
		c.await("SAY calling")
		c.tell("cancel")
		c.exit(0)
		at := -1
		for _, line := range []string{"SAY call ended", "SAY stopped", "SAY shut down"} {
			lines := strings.Join(c.all(), "\n")
			if next := strings.Index(lines, line); next <= at {
				t.Errorf("%q is missing or too early:\n%s", line, lines)
			} else {
				at = next
			}
		}
	})
	t.Run("a call that does not return", func(t *testing.T) {
		t.Parallel()
		s := quick
		s.Timeout = 2500 * time.Millisecond
		c := start(t, provider{Outgoing: time.Hour, Shutdown: s})
		c.await("SAY ready")
		c.tell("call")
		c.await("SAY calling")
		signal := c.terminate()
		c.exit(0)
		if took, least := time.Since(signal), s.Timeout-outgoingReport; took < least {
			t.Errorf("left after %v, want %v", took, least)
		}
		c.await("1 calls to others are cut off")
	})
	t.Run("none", func(t *testing.T) {
		t.Parallel()
		c := start(t, provider{Shutdown: drainSettings})
		c.await("SAY ready")
		signal := c.terminate()
		c.exit(0)
		if took := time.Since(signal); took > 5*time.Second {
			t.Errorf("left after %v", took)
		}
	})
}

// With internal-signal: false the program's handler calls Shutdown, which drains
// and returns, also where dubbo.Load has left a callback that never does.
func TestOwnSignals(t *testing.T) {
	port := ports.Free()
	c := start(t, provider{Tri: port, Require: true, Registries: []string{"ok:1"}, OwnSignals: true, Shutdown: quick})
	c.await("SAY ready")
	call := c.dial("tri", port)
	running := make(chan error, 1)
	go func() { _, err := call("web-1", "1500ms"); running <- err }()
	if _, err := call("web-1", "1ms"); err != nil {
		t.Fatal(err)
	}
	signal := c.terminate()
	c.await("SAY own signal handler")
	if err := <-running; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if got := c.await("SAY shut down: "); got != "<nil>" {
		t.Errorf("Shutdown returned %s", got)
	}
	c.exit(0)
	if took := time.Since(signal); took > 15*time.Second {
		t.Errorf("took %v", took)
	}
	c.await("SAY unregister ok:1")
	c.await("SAY callback")
	if r := c.report(); r.Accepted != r.Completed || r.Accepted < 2 {
		t.Errorf("report %s", r)
	}
}

// Steps of this test:
//  1. a Triple server with TLS; a gRPC client watches its health;
//  2. SIGTERM: the client is told NOT_SERVING;
//  3. the stream ends with the drain, and the process without waiting for it.
func TestTLSWithOpenWatch(t *testing.T) {
	port := ports.Free()
	cert, key, pool := selfSigned(t)
	c := start(t, provider{Tri: port, Require: true, Registries: []string{"ok:1"}, Cert: cert, Key: key, Shutdown: quick})
	c.await("SAY ready")

	// 1.
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	watch, err := grpc_health_v1.NewHealthClient(conn).Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: triService})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("first %v, %v", got, err)
	}

	// 2.
	signal := c.terminate()
	if got, err := watch.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("then %v, %v", got, err)
	}

	// 3.
	u := common.NewURLWithOptions(common.WithIp("127.0.0.1"), common.WithPort(strconv.Itoa(port)))
	u.SetAttribute(constant.TLSConfigKey, &global.TLSConfig{CACertFile: cert})
	if err := ack.Send(ctx, u, "web-1;none", tag.StateClosing, "none"); err != nil {
		t.Errorf("a word over TLS: %v", err)
	}
	if got, err := watch.Recv(); err == nil {
		t.Errorf("then %v, want the end", got)
	}
	c.exit(0)
	if took := time.Since(signal); took > 8*time.Second {
		t.Errorf("took %v: dubbo-go's 10s for the stream", took)
	}
}

// selfSigned writes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "lifecycle test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pool = x509.NewCertPool()
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "EC PRIVATE KEY", encoded), pool
}

// The report names who did not hear of the leave, and who could not have gone
// elsewhere; callers of long ago need not know.
func TestReportNames(t *testing.T) {
	mark := time.Now()
	caller := func(id string, reroutes bool, last, informed time.Duration) shutdown.Caller {
		c := shutdown.Caller{ID: id, Reroutes: reroutes, LastStart: mark.Add(last)}
		if informed >= 0 {
			c.Informed = mark.Add(informed)
		}
		return c
	}
	r := newReport("cart", nil, shutdown.Snapshot{Marked: mark, Callers: []shutdown.Caller{
		caller("deaf", true, time.Second, 0),
		caller("idle", true, -time.Minute, -1),
		caller("informed", true, 200*time.Millisecond, 0),
		caller("long-gone", true, -recentFor-1, -1),
		caller("plain", false, -recentFor, -1),
		caller("plain-gone", false, -recentFor-1, -1),
	}}, outcome{marked: mark})
	if want := []string{"deaf", "idle"}; !slices.Equal(r.Uninformed, want) {
		t.Errorf("uninformed %v, want %v", r.Uninformed, want)
	}
	if want := []string{"plain"}; !slices.Equal(r.CannotReroute, want) {
		t.Errorf("cannot reroute %v, want %v", r.CannotReroute, want)
	}
}
