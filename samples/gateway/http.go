// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"
	"github.com/go-chi/chi/v5"

	"github.com/graylane/graylane/filter/ingress"
	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/dubbo"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

// maxBody bounds a request body in bytes.
const maxBody = 64 << 10

// orderRequest is the body of POST /api/orders.
type orderRequest struct {
	RequestID string `json:"request_id"` // made up if empty
	UserID    string `json:"user_id"`
	Items     []struct {
		SKU      string `json:"sku"`
		Quantity int32  `json:"quantity"`
	} `json:"items"`
}

// orderAnswer is the answer of POST /api/orders and GET /api/orders/{id}.
type orderAnswer struct {
	OrderID    string `json:"order_id"`
	RequestID  string `json:"request_id"`
	User       string `json:"user"`
	Membership string `json:"membership"`
	TotalCents int64  `json:"total_cents"`
	LanePath   string `json:"lane_path"`
	Instance   string `json:"instance"`
}

// errorAnswer is the answer of a request that failed.
type errorAnswer struct {
	Error     string `json:"error"`
	RequestID string `json:"request_id"`
	LanePath  string `json:"lane_path,omitempty"`
}

// name is what lane paths call this program.
const name = "gateway"

type server struct {
	user    shopv1.UserService
	timeout time.Duration
}

// newHandler routes the shop's HTTP API. Requests may take timeout, above 0,
// and are coloured by the rules of colours.
func newHandler(user shopv1.UserService, timeout time.Duration, colours ingress.Config) (http.Handler, error) {
	colours.UserID = func(r *http.Request) string { return orderFrom(r.Context()).UserID }
	colour, err := ingress.New(colours)
	if err != nil {
		return nil, err
	}
	srv := &server{user: user, timeout: timeout}
	r := chi.NewRouter()
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte("ok\n"))
	})
	r.Group(func(r chi.Router) {
		r.Use(srv.deadline, readOrder, colour)
		r.Post("/api/orders", srv.placeOrder)
		r.Get("/api/orders/{id}", srv.getOrder)
	})
	return r, nil
}

func (s *server) placeOrder(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	order := orderFrom(ctx)
	req := &shopv1.PlaceOrderRequest{RequestId: order.RequestID, UserId: order.UserID}
	for _, item := range order.Items {
		req.Items = append(req.Items, &shopv1.Item{Sku: item.SKU, Quantity: item.Quantity})
	}
	reply, err := s.user.PlaceOrder(ctx, req)
	if err != nil {
		s.fail(ctx, w, order.RequestID, err)
		return
	}
	answer(w, http.StatusOK, newAnswer(ctx, reply.GetUser(), reply.GetOrder()))
}

func (s *server) getOrder(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	reply, err := s.user.GetOrder(ctx, &shopv1.GetOrderRequest{Id: chi.URLParam(r, "id")})
	if err != nil {
		s.fail(ctx, w, "", err)
		return
	}
	order := reply.GetOrder()
	answer(w, http.StatusOK, newAnswer(ctx, shop.LookupMember(order.GetUserId()).Name, order))
}

func newAnswer(ctx context.Context, user string, order *shopv1.Order) orderAnswer {
	return orderAnswer{
		OrderID:    order.GetId(),
		RequestID:  order.GetRequestId(),
		User:       user,
		Membership: order.GetMembership(),
		TotalCents: order.GetTotalCents(),
		LanePath:   ingress.LanePath(ctx, name),
		Instance:   order.GetInstance(),
	}
}

// fail answers with the status that fits the error: 400 and 404 are the
// client's fault, 504 is time, 502 is anything else behind the gateway.
func (s *server) fail(ctx context.Context, w http.ResponseWriter, requestID string, err error) {
	err = dubbo.Failed(requestID, "user", err)
	status := http.StatusBadGateway
	switch triple.CodeOf(err) {
	case triple.CodeInvalidArgument:
		status = http.StatusBadRequest
	case triple.CodeNotFound:
		status = http.StatusNotFound
	case triple.CodeDeadlineExceeded:
		status = http.StatusGatewayTimeout
	}
	answer(w, status, errorAnswer{Error: err.Error(), RequestID: requestID, LanePath: ingress.LanePath(ctx, name)})
}

// deadline bounds a whole request; the calls behind it inherit what is left.
func (s *server) deadline(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.timeout)
		defer cancel()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

type orderKey struct{}

// readOrder decodes the body before the request is coloured, because the
// colour may depend on the user.
func readOrder(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var order orderRequest
		if r.Method == http.MethodPost {
			if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&order); err != nil {
				answer(w, http.StatusBadRequest, errorAnswer{Error: fmt.Sprintf("body: %v, want an order of at most %d bytes", err, maxBody)})
				return
			}
			if strings.TrimSpace(order.RequestID) == "" {
				order.RequestID = rand.Text()
			}
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), orderKey{}, order)))
	})
}

func orderFrom(ctx context.Context) orderRequest {
	order, _ := ctx.Value(orderKey{}).(orderRequest)
	return order
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // lane_path reads better with its ">"
	_ = enc.Encode(body)     // an error: the client has gone; nobody to tell
}
