// SPDX-License-Identifier: Apache-2.0

// Command cart is the shop's cart service: it knows the prices and the
// members' discount, and passes the priced order on to the order service.
package main

import (
	"context"
	"flag"

	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/dubbo"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

func main() {
	conf := flag.String("conf", "", "dubbogo.yml to run with (default samples/cart/conf/dubbogo.yml)")
	flag.Parse()
	shop.Exit("cart", run(shop.ConfPath("cart", "dubbogo.yml", *conf)))
}

func run(conf string) error {
	if _, err := shop.ReadSettings(conf); err != nil {
		return err
	}
	order := new(shopv1.OrderServiceImpl)
	shopv1.SetOrderServiceConsumer(order)
	shopv1.SetCartServiceProvider(&Cart{order: order})
	stopped, err := dubbo.Load(conf)
	if err != nil {
		return err
	}
	<-stopped
	return nil
}

// Cart answers shop.v1.CartService.
type Cart struct{ order shopv1.OrderService }

var _ shopv1.CartServiceHandler = (*Cart)(nil)

// Checkout prices the items and passes the order on.
func (c *Cart) Checkout(ctx context.Context, req *shopv1.CheckoutRequest) (*shopv1.CheckoutReply, error) {
	lines := make([]shop.Line, len(req.GetItems()))
	for i, item := range req.GetItems() {
		lines[i] = shop.Line{SKU: item.GetSku(), Quantity: item.GetQuantity()}
	}
	total, err := shop.Total(lines, req.GetMembership())
	if err != nil {
		return nil, triple.NewError(triple.CodeInvalidArgument, err)
	}
	reply, err := c.order.Create(ctx, &shopv1.CreateRequest{
		RequestId:  req.GetRequestId(),
		UserId:     req.GetUserId(),
		Membership: req.GetMembership(),
		Items:      req.GetItems(),
		TotalCents: total,
	})
	if err != nil {
		return nil, dubbo.Failed(req.GetRequestId(), "order", err)
	}
	return &shopv1.CheckoutReply{Order: reply.GetOrder()}, nil
}

// GetOrder passes the question on.
func (c *Cart) GetOrder(ctx context.Context, req *shopv1.GetOrderRequest) (*shopv1.GetOrderReply, error) {
	reply, err := c.order.GetOrder(ctx, req)
	if err != nil {
		return nil, dubbo.Failed(req.GetId(), "order", err)
	}
	return reply, nil
}
