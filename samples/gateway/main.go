// SPDX-License-Identifier: Apache-2.0

// Command gateway is the shop's front door: HTTP on one side, the user service
// on the other. It is the only program that colours requests.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	"dubbo.apache.org/dubbo-go/v3/common/extension"

	"github.com/graylane/graylane/filter/ingress"
	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/dubbo"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

func main() {
	conf := flag.String("conf", "", "dubbogo.yml to run with (default samples/gateway/conf/dubbogo.yml)")
	gateway := flag.String("gateway", "", "rules that colour requests (default samples/gateway/conf/gateway.yml)")
	addr := flag.String("http", "127.0.0.1:8080", "address to serve HTTP on")
	flag.Parse()
	shop.Exit("gateway", run(
		shop.ConfPath("gateway", "dubbogo.yml", *conf),
		shop.ConfPath("gateway", "gateway.yml", *gateway),
		*addr))
}

func run(conf, coloursPath, addr string) error {
	settings, err := shop.ReadSettings(conf)
	if err != nil {
		return err
	}
	colours, err := ingress.LoadFile(coloursPath)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// The port is taken before anything else starts: if it is in use there is
	// nothing to undo.
	ln, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	user := new(shopv1.UserServiceImpl)
	shopv1.SetUserServiceConsumer(user)
	handler, err := newHandler(user, cmp.Or(settings.Timeout, time.Second), colours)
	if err != nil {
		return errors.Join(err, ln.Close())
	}
	srv := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}

	// This callback runs after the process has left the registries and before
	// its clients are closed: the requests in flight can still call the user
	// service.
	extension.RegisterGracefulShutdownCallback("shop-gateway", srv.Shutdown)
	stopped, err := dubbo.Load(conf)
	if err != nil {
		return errors.Join(err, ln.Close())
	}

	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	fmt.Printf("gateway: serving on http://%s\n", ln.Addr())
	select {
	case err = <-served: // before a stop: the server failed
		if !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("http: %w", err)
		}
		<-stopped
	case <-stopped:
	}
	return nil
}
