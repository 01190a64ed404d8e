// SPDX-License-Identifier: Apache-2.0

// Command user is the shop's user service: it knows who orders and whether
// they are members, and passes the order on to the cart.
package main

import (
	"context"
	"errors"
	"flag"

	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/dubbo"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

func main() {
	conf := flag.String("conf", "", "dubbogo.yml to run with (default samples/user/conf/dubbogo.yml)")
	flag.Parse()
	shop.Exit("user", run(shop.ConfPath("user", "dubbogo.yml", *conf)))
}

func run(conf string) error {
	if _, err := shop.ReadSettings(conf); err != nil {
		return err
	}
	cart := new(shopv1.CartServiceImpl)
	shopv1.SetCartServiceConsumer(cart)
	shopv1.SetUserServiceProvider(&User{cart: cart})
	stopped, err := dubbo.Load(conf)
	if err != nil {
		return err
	}
	<-stopped
	return nil
}

// User answers shop.v1.UserService.
type User struct{ cart shopv1.CartService }

var _ shopv1.UserServiceHandler = (*User)(nil)

// PlaceOrder looks the user up and passes the order on.
func (u *User) PlaceOrder(ctx context.Context, req *shopv1.PlaceOrderRequest) (*shopv1.PlaceOrderReply, error) {
	if req.GetUserId() == "" {
		return nil, triple.NewError(triple.CodeInvalidArgument, errors.New("user: user_id: got none, want the user's id"))
	}
	member := shop.LookupMember(req.GetUserId())
	reply, err := u.cart.Checkout(ctx, &shopv1.CheckoutRequest{
		RequestId:  req.GetRequestId(),
		UserId:     req.GetUserId(),
		Membership: member.Membership,
		Items:      req.GetItems(),
	})
	if err != nil {
		return nil, dubbo.Failed(req.GetRequestId(), "cart", err)
	}
	return &shopv1.PlaceOrderReply{Order: reply.GetOrder(), User: member.Name}, nil
}

// GetOrder passes the question on.
func (u *User) GetOrder(ctx context.Context, req *shopv1.GetOrderRequest) (*shopv1.GetOrderReply, error) {
	reply, err := u.cart.GetOrder(ctx, req)
	if err != nil {
		return nil, dubbo.Failed(req.GetId(), "cart", err)
	}
	return reply, nil
}
