// SPDX-License-Identifier: Apache-2.0

package dubbo

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"dubbo.apache.org/dubbo-go/v3/metrics/probe"
)

// serveReady answers /ready at the address in SHOP_READY, if there is one, with
// dubbo-go's readiness, as its probe server does; that one cannot be kept from
// listening on all addresses. With Graylane it is true once all is registered.
func serveReady() error {
	address := os.Getenv("SHOP_READY")
	if address == "" {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("SHOP_READY: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, r *http.Request) {
		if err := probe.CheckReadiness(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = srv.Serve(l) }() // ends with the process
	return nil
}
