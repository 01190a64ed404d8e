// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"context"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3/client"
	"dubbo.apache.org/dubbo-go/v3/common/constant"
	"dubbo.apache.org/dubbo-go/v3/global"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// stub is the client side of a service that is called by reflection.
type stub struct {
	Call func(ctx context.Context, in string) (string, error)
	name string
}

func (s *stub) Reference() string { return s.name }

// dial makes a reference as a program does, by a direct URL.
func dial(t *testing.T, k kind, service, url string, consumer *global.ConsumerConfig, opts ...client.ReferenceOption) func(context.Context, string, ...client.CallOption) (string, error) {
	t.Helper()
	var clientOpts []client.ClientOption
	if consumer != nil {
		clientOpts = append(clientOpts, client.SetClientConsumer(consumer))
	}
	return dialBy(t, must(must(instance())(t).NewClient(clientOpts...))(t), k, service, url, opts...)
}

// dialBy is dial with a client of the caller's.
func dialBy(t *testing.T, cli *client.Client, k kind, service, url string, opts ...client.ReferenceOption) func(context.Context, string, ...client.CallOption) (string, error) {
	t.Helper()
	opts = append([]client.ReferenceOption{client.WithURL(url), client.WithProtocol(k.protocol), client.WithInterface(service)}, opts...)
	if k == (kind{"tri", "idl"}) {
		conn := must(cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"Call"}}, opts...))(t)
		return func(ctx context.Context, in string, o ...client.CallOption) (string, error) {
			out := new(wrapperspb.StringValue)
			err := conn.CallUnary(ctx, []any{wrapperspb.String(in)}, out, "Call", o...)
			return out.GetValue(), err
		}
	}
	opts = append(opts, client.WithSerialization(constant.Hessian2Serialization))
	var conn *client.Connection
	if k.how == "idl" {
		conn = must(cli.DialWithInfo(service, &client.ClientInfo{InterfaceName: service, MethodNames: []string{"Call"}}, opts...))(t)
	} else {
		conn = must(cli.NewService(&stub{name: service}, opts...))(t)
	}
	return func(ctx context.Context, in string, o ...client.CallOption) (string, error) {
		var out string
		err := conn.CallUnary(ctx, []any{in}, &out, "Call", o...)
		return out, err
	}
}

// TestTimeouts: a timeout that is set anywhere ends the call while its handler still
// hangs, and one that is set nearer to the call may be longer.
func TestTimeouts(t *testing.T) {
	const short, long = "200ms", "20s"
	consumer := func(service, consumer, reference string) *global.ConsumerConfig {
		c := global.DefaultConsumerConfig()
		c.RequestTimeout = consumer
		if reference != "" {
			c.References = map[string]*global.ReferenceConfig{"order": {InterfaceName: service, RequestTimeout: reference}}
		}
		return c
	}
	method := func(timeout string) []client.ReferenceOption {
		return []client.ReferenceOption{client.WithMethod(&global.MethodConfig{Name: "Call", RequestTimeout: timeout})}
	}
	for _, k := range kinds {
		hang := make(chan chan struct{}, 1)
		p := serve(t, k, func(context.Context, string) (string, error) {
			release := make(chan struct{})
			hang <- release
			<-release
			return "done", nil
		})
		for _, tc := range []struct {
			name                string
			consumer, reference string
			method              string
			option              time.Duration
			deadline            time.Duration
			returns             bool // before the handler does
		}{
			{"consumer", short, "", "", 0, 0, true},
			{"reference", long, short, "", 0, 0, true},
			{"reference, longer", short, long, "", 0, 0, false},
			{"method", long, "", short, 0, 0, true},
			{"method, longer", short, short, long, 0, 0, false},
			{"option", long, long, long, 200 * time.Millisecond, 0, true},
			{"option, longer", short, "", "", 20 * time.Second, 0, false},
			{"context", long, long, long, 0, 200 * time.Millisecond, true},
			{"context, longer", short, "", "", 0, 20 * time.Second, false},
			{"option and context", short, "", "", 20 * time.Second, 200 * time.Millisecond, true},
			{"context and option", short, "", "", 200 * time.Millisecond, 20 * time.Second, true},
		} {
			t.Run(k.String()+"/"+tc.name, func(t *testing.T) {
				var refOpts []client.ReferenceOption
				if tc.method != "" {
					refOpts = method(tc.method)
				}
				call := dial(t, k, p.name, k.protocol+"://"+p.addr, consumer(p.name, tc.consumer, tc.reference), refOpts...)
				ctx := t.Context()
				if tc.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.deadline)
					defer cancel()
				}
				var opts []client.CallOption
				if tc.option > 0 {
					opts = append(opts, client.WithCallRequestTimeout(tc.option))
				}
				returned := make(chan error, 1)
				go func() {
					_, err := call(ctx, "x", opts...)
					returned <- err
				}()
				select {
				case release := <-hang:
					defer close(release)
				case err := <-returned:
					t.Fatalf("did not reach the handler: %v", err)
				case <-time.After(10 * time.Second):
					t.Fatal("did not reach the handler")
				}
				bound := 5 * time.Second // generous: the next longer timeout is 20 s
				if !tc.returns {
					bound = 600 * time.Millisecond // three times the one that must not hold
				}
				select {
				case err := <-returned:
					if !tc.returns || err == nil {
						t.Errorf("returned %v before its handler did", err)
					}
				case <-time.After(bound):
					if tc.returns {
						t.Error("waits on")
					}
				}
			})
		}
	}
}
