// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/graylane/graylane/internal/testkit/need"
	"github.com/graylane/graylane/test/rig/java"
	"github.com/graylane/graylane/test/rig/zookeeper"
)

func TestMain(m *testing.M) {
	if text := os.Getenv(specEnv); text != "" {
		var s spec
		check(json.Unmarshal([]byte(text), &s))
		s.run()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) // what dubbo-go's imports start
}

// rounds is the peers that all parts share.
type rounds struct {
	*fleet
	fromGo, fromJava       *peer
	go1, go2, java1, java2 *peer
	baseline               []*peer
}

// TestJava lets Graylane and Dubbo Java serve and call each other, part by part.
func TestJava(t *testing.T) {
	need.Long(t, "starts processes, ZooKeeper and JVMs")
	need.Part(t, java.Missing())
	for _, protocol := range []string{"tri", "dubbo"} {
		t.Run(protocol, func(t *testing.T) {
			began := time.Now()
			zk, err := zookeeper.Start(t.Context(), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := zk.Close(); err != nil {
					t.Error(err)
				}
			})
			r := &rounds{fleet: newFleet(t, protocol, zk.Address())}
			r.go1, r.go2 = r.start(spec{Name: "go1"}), r.start(spec{Name: "go2"})
			r.java1, r.java2 = r.start(spec{Name: "java1", Java: true}), r.start(spec{Name: "java2", Java: true})
			r.baseline = []*peer{r.go1, r.go2, r.java1, r.java2}
			r.ready(r.baseline...)
			r.fromGo, r.fromJava = r.start(spec{Name: "fromGo", Consumer: true}), r.start(spec{Name: "fromJava", Java: true, Consumer: true})
			r.ready(r.fromGo, r.fromJava)
			for _, from := range []*peer{r.fromGo, r.fromJava} {
				r.knows(from, "", r.baseline...)
			}
			t.Logf("up after %.0f s", time.Since(began).Seconds())
			for _, part := range []struct {
				name string
				do   func(*rounds)
			}{
				{"shares", (*rounds).shares},
				{"tags", (*rounds).tags},
				{"ramp", (*rounds).ramp},
				{"a Go provider leaves", (*rounds).goLeaves},
				{"a Java provider leaves", (*rounds).javaLeaves},
			} {
				t.Run(part.name, func(t *testing.T) {
					began, whole := time.Now(), r.t
					defer func() { r.t = whole }()
					r.t = t
					part.do(r)
					t.Logf("%.0f s", time.Since(began).Seconds())
				})
			}
			for id, list := range r.runs() {
				if len(list) > 1 {
					t.Errorf("%s was executed twice: %v", id, list)
				}
			}
		})
	}
}
