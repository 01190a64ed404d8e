// SPDX-License-Identifier: Apache-2.0

package rulecenter_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/test/rig/nacos"
)

// Within what a text in Nacos holds is half of it or less; this test runs beside others,
// under the race detector. Where a word of Nacos is lost it is asked again after 10.5 s.
const nacosHolds = 9 * time.Second

// texts are what operators keep in a Nacos.
type texts struct {
	t       *testing.T
	address string
}

// put publishes a text, or deletes it where it is empty.
func (n texts) put(group, key, text string) {
	n.t.Helper()
	method, form := http.MethodPost, url.Values{"dataId": {key}, "group": {group}, "content": {text}}
	if text == "" {
		method = http.MethodDelete
		form.Del("content")
	}
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "http://"+n.address+"/nacos/v1/cs/configs?"+form.Encode(), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "true" {
		n.t.Fatalf("%s %s in group %s: status %d, %s, %v", method, key, group, resp.StatusCode, body, err)
	}
}

// TestOverridesOnNacos: registry and config centre are one real Nacos. Each text holds
// within nacosHolds, and no call fails.
//
//  1. none: both serve
//  2. the first one, the service's: b is disabled
//  3. changed: b is the lane gray
//  4. changed: a has the weight 0
//  5. deleted: both serve
//  6. the application's, in group dubbo: a is disabled
//  7. another one in the centre's own group, b disabled: it wins
//  8. deleted: the one in group dubbo holds
//  9. Nacos is killed and comes back: it still does; and then its delete.
func TestOverridesOnNacos(t *testing.T) {
	need.Long(t, "starts a JVM")
	need.Part(t, nacos.Missing())
	server, err := nacos.Start(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	w := (&world{nacos: server.Address()}).start(t)
	web := w.consumer(t, fmt.Sprintf("  config-center: { protocol: nacos, address: \"%s\", timeout: 5s }\n", server.Address()))
	operator := texts{t, server.Address()}
	const own, java, ofService, ofApp = "DEFAULT_GROUP", "dubbo", service + "::.configurators", "web.configurators"
	forService := func(port int, parameter string) string { return override(serviceOverrides, port, parameter) }
	forApp := func(port int, parameter string) string { return override(appOverrides, port, parameter) }
	step := func(what, group, key, text, want string) {
		t.Helper()
		began := time.Now()
		operator.put(group, key, text)
		web.until(want)
		took := time.Since(began)
		t.Logf("%-36s %v, 24 calls to see it included", what, took.Round(time.Millisecond))
		if took > nacosHolds {
			t.Errorf("%s: held after %v, want at most %v", what, took, nacosHolds)
		}
	}
	web.await(w.all())                                                                         // 1
	step("the first publish", java, ofService, forService(w.b, `disabled: "true"`), only(w.a)) // 2
	step("a change", java, ofService, forService(w.b, "dubbo.tag: gray"), w.lane())            // 3
	step("another one", java, ofService, forService(w.a, `weight: "0"`), only(w.b))            // 4
	step("a delete", java, ofService, "", w.all())                                             // 5
	step("the application's", java, ofApp, forApp(w.a, `disabled: "true"`), only(w.b))         // 6
	step("the centre's own group", own, ofApp, forApp(w.b, `disabled: "true"`), only(w.a))     // 7
	step("its delete", own, ofApp, "", only(w.b))                                              // 8
	if err := server.Close(); err != nil {                                                     // 9
		t.Fatal(err)
	}
	began := time.Now()
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%-36s %v", "(restart of Nacos)", time.Since(began).Round(time.Millisecond))
	web.stays()
	step("a delete after the restart", java, ofApp, "", w.all())
}
