// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"

	"github.com/graylane/graylane"
)

// specEnv makes the test binary a provider or a consumer.
const specEnv = "GRAYLANE_CHAOS_SPEC"

// spec says what a child process is.
type spec struct {
	Role     string // provider or consumer
	Name     string // p1.2: the second process of provider 1
	Protocol string
	Level    string
	Registry string // kind
	Address  string // of the registry
	Cell     string // makes names different for each cell: they share the registries
	Port     int
	Metadata int // port of dubbo-go's metadata service
	Rate     int // calls a second
	Timeout  time.Duration
	Window   time.Duration // of the warm-up
	Require  bool          // register.require
	Mode     string        // of Graylane, "" for that of the run
	Beside   string        // cell of a second service, which a consumer calls now and then; "" for none
	Leak     bool          // of a consumer, see leak
}

// modeOff is plain dubbo-go.
const modeOff = "off"

func (s spec) service() string { return "com.shop.Order" + s.Cell }
func (s spec) application() string {
	name := "order-" + strings.ToLower(s.Cell)
	if s.Role == "consumer" {
		name += "-caller"
	}
	return name
}

// lines of a child that the test reads.
const (
	sayReady = "CHAOS READY"
	sayBorn  = "CHAOS BORN " // StartTime in Unix ns
	sayID    = "CHAOS ID "   // how a consumer is named to providers
	sayExec  = "CHAOS EXEC " // id, Unix ns
	sayCall  = "CHAOS CALL " // see call.String
	sayIdle  = "CHAOS IDLE"  // the load has ended
	sayLost  = "CHAOS LOST"  // no packet comes through
)

func say(line string) {
	if _, err := os.Stdout.WriteString(line + "\n"); err != nil {
		os.Exit(4) // the test is gone
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(3)
	}
}

func (s spec) run() {
	c := graylane.Default()
	c.Warmup.Window = s.Window
	c.Register.Require = s.Require
	fail(graylane.Configure(c))
	sampleOnSignal()
	switch s.Role {
	case "provider":
		s.provide()
	case "consumer":
		s.consume()
	default:
		fail(errors.New("unknown role " + s.Role))
	}
}

func (s spec) instance() *dubbo.Instance {
	level := registry.WithRegisterService()
	if s.Level == "interface" {
		level = registry.WithRegisterInterface()
	}
	ins, err := dubbo.NewInstance(
		dubbo.WithName(s.application()), dubbo.WithMetadataServicePort(s.Metadata),
		dubbo.WithRegistry(registry.WithRegistry(registryNames[s.Registry]), registry.WithID("chaos"), registry.WithAddress(s.Address), level),
		dubbo.WithProtocol(protocol.WithProtocol(s.Protocol), protocol.WithID("p"), protocol.WithIp("127.0.0.1"), protocol.WithPort(s.Port)),
	)
	fail(err)
	return ins
}

// registryNames are the names in dubbogo.yml.
var registryNames = map[string]string{"etcd": "etcdv3", "nacos": "nacos", "zookeeper": "zookeeper"}

// request is what a call carries: its id and how long the handler works.
type request struct {
	id   string
	work time.Duration
}

func (r request) String() string { return r.id + " " + r.work.String() }

func parseRequest(text string) (r request, err error) {
	id, work, _ := strings.Cut(text, " ")
	r.id = id
	r.work, err = time.ParseDuration(work)
	return r, err
}

// call is one line of a consumer.
type call struct {
	ID         string
	Start, End time.Time
	Oldest     time.Time // when the oldest call still in flight started, else End
	By         string    // the process that answered
	Err        string
	None       bool // it failed with endpoint.ErrNoEndpoint
	Long       bool // one of those that take seconds
}

func (c call) String() string {
	b, err := json.Marshal(c)
	fail(err)
	return sayCall + string(b)
}

// execution is one line of a provider.
type execution struct {
	id string
	by string
	at time.Time
}

func parseExecution(by, text string) (e execution, err error) {
	id, ns, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(ns, 10, 64)
	return execution{id: id, by: by, at: time.Unix(0, n)}, err
}
