// SPDX-License-Identifier: Apache-2.0

package interop

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/protocol"
	"dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"dubbo.apache.org/dubbo-go/v3/registry"
	"dubbo.apache.org/dubbo-go/v3/server"
	hessian "github.com/apache/dubbo-go-hessian2"

	"github.com/graylane/graylane"
	"github.com/graylane/graylane/cluster/lossless"
	"github.com/graylane/graylane/filter/tag"
	_ "github.com/graylane/graylane/imports"
	"github.com/graylane/graylane/registry/lifecycle"
)

// service is that of test/rig/java.
const service = "com.shop.Order"

// Req is com.shop.Req.
type Req struct {
	ID   string `hessian:"id"`
	Work int32  `hessian:"work"` // ms
}

// JavaClassName implements hessian2's POJO.
func (*Req) JavaClassName() string { return "com.shop.Req" }

// Resp is com.shop.Resp.
type Resp struct {
	By string `hessian:"by"`
}

// JavaClassName implements hessian2's POJO.
func (*Resp) JavaClassName() string { return "com.shop.Resp" }

// specEnv makes the test binary a provider or a consumer.
const specEnv = "GRAYLANE_INTEROP_SPEC"

// spec says what a peer is.
type spec struct {
	Name     string
	Java     bool
	Consumer bool
	Protocol string
	Registry string // host:port of ZooKeeper
	Port     int
	Metadata int // port of dubbo-go's metadata service
	Tag      string
	Weight   int           // 0: nobody set one
	Window   time.Duration // of the warm-up
}

// timeout bounds a call.
const timeout = 15 * time.Second

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		os.Exit(3)
	}
}

func say(format string, args ...any) {
	if _, err := fmt.Fprintf(os.Stdout, "PEER "+format+"\n", args...); err != nil {
		os.Exit(4) // the test is gone
	}
}

func (s spec) run() {
	hessian.RegisterPOJO(&Req{})
	hessian.RegisterPOJO(&Resp{})
	c := graylane.Default()
	c.Warmup.Window = s.Window
	if s.Weight > 0 {
		c.Register.PublishWeight = strconv.Itoa(s.Weight)
	}
	check(graylane.Configure(c))
	role, app := s.provide, "order-go"
	if s.Consumer {
		role, app = s.consume, "gateway-go"
	}
	ins, err := dubbo.NewInstance(dubbo.WithName(app), dubbo.WithMetadataServicePort(s.Metadata), dubbo.WithTag(s.Tag),
		dubbo.WithRegistry(registry.WithZookeeper(), registry.WithID("zk"), registry.WithAddress(s.Registry), registry.WithRegisterService()),
		dubbo.WithProtocol(protocol.WithProtocol(s.Protocol), protocol.WithID("p"), protocol.WithIp("127.0.0.1"), protocol.WithPort(s.Port)))
	check(err)
	role(ins)
}

// Handler is the service (exported, or dubbo-go refuses it).
type Handler struct{ name string }

// Reference names the service.
func (*Handler) Reference() string { return service }

// Get says that it runs, works for as long as it is told, and answers who it is.
func (h *Handler) Get(_ context.Context, r *Req) (*Resp, error) {
	say("EXEC %s %d", r.ID, time.Now().UnixMicro())
	time.Sleep(time.Duration(r.Work) * time.Millisecond)
	return &Resp{By: h.name}, nil
}

func (s spec) provide(ins *dubbo.Instance) {
	srv, err := ins.NewServer()
	check(err)
	options := []server.ServiceOption{server.WithInterface(service), server.WithSerialization(constant.Hessian2Serialization)}
	check(srv.Register(&Handler{s.Name}, &common.ServiceInfo{InterfaceName: service, Methods: []common.MethodInfo{{
		Name: "get", Type: constant.CallUnary,
		ReqInitFunc: func() any { return []any{new(*Req)} },
		MethodFunc: func(ctx context.Context, args []any, h any) (any, error) {
			out, err := h.(*Handler).Get(ctx, args[0].(*Req))
			if err != nil || s.Protocol != constant.TriProtocol {
				return out, err
			}
			return triple_protocol.NewResponse(out), nil
		},
	}}}, options...))
	go func() {
		for !lifecycle.Ready() { // as a readiness probe would
			time.Sleep(5 * time.Millisecond)
		}
		say("READY")
	}()
	check(srv.Serve())
	select {} // a signal ends the process
}

// consume does what the Java consumer does; it knows "stats" where that knows "weights".
func (s spec) consume(ins *dubbo.Instance) {
	cli, err := ins.NewClient(client.WithClientRequestTimeout(timeout))
	check(err)
	conn, err := cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"get"}},
		client.WithInterface(service), client.WithProtocol(s.Protocol), client.WithRetries(0), client.WithSerialization(constant.Hessian2Serialization))
	check(err)
	running := map[string]*atomic.Bool{}
	say("READY")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		word := strings.Fields(in.Text())
		switch word[0] {
		case "load":
			l := load{conn: conn, batch: word[1], tag: strings.TrimPrefix(word[2], "-")}
			for n, into := range []*int{&l.rate, &l.work, &l.limit} {
				*into, err = strconv.Atoi(word[3+n])
				check(err)
			}
			running[l.batch] = &l.off
			go l.run()
		case "stop":
			running[word[1]].Store(true)
		case "stats":
			st := lossless.ReadStats()
			say("STATS %d %d %d %d", st.Rerouted, st.Unknown, st.NoEndpoint, st.BudgetExhausted)
		}
	}
	os.Exit(0) // the test is over
}

// load is a batch of calls: at most limit, rate a second at their times whatever the
// answers do, or from 8 callers one after the other if it is 0.
type load struct {
	conn              *client.Connection
	batch, tag        string
	rate, work, limit int
	off               atomic.Bool
}

const callers = 8

func (l *load) run() {
	var calls sync.WaitGroup
	if l.rate > 0 {
		start := time.Now()
		for n := 0; n < l.limit && !l.off.Load(); n++ {
			time.Sleep(time.Until(start.Add(time.Duration(n) * time.Second / time.Duration(l.rate))))
			calls.Go(func() { l.call(n) })
		}
	} else {
		var next atomic.Int64
		for range callers {
			calls.Go(func() {
				for n := next.Add(1) - 1; n < int64(l.limit) && !l.off.Load(); n = next.Add(1) - 1 {
					l.call(int(n))
				}
			})
		}
	}
	calls.Wait()
	say("DONE %s", l.batch)
}

func (l *load) call(n int) {
	id := fmt.Sprintf("%s-%d", l.batch, n)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if l.tag != "" {
		t, err := tag.Parse(l.tag)
		check(err)
		ctx = tag.NewContext(ctx, t)
	}
	by, text, start := "-", "", time.Now()
	out := new(Resp)
	err := l.conn.CallUnary(ctx, []any{&Req{id, int32(l.work)}}, out, "get", client.WithCallRequestTimeout(timeout))
	switch {
	case err != nil:
		text = " " + strings.ReplaceAll(err.Error(), "\n", " ")
	case out.By == "":
		text = " an empty answer"
	default:
		by = out.By
	}
	say("CALL %s %d %d %s%s", id, start.UnixMicro(), time.Now().UnixMicro(), by, text)
}
