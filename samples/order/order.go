// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	triple "dubbo.apache.org/dubbo-go/v3/protocol/triple/triple_protocol"

	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

// maxOrders bounds how many orders an instance keeps; the oldest go first.
const maxOrders = 100_000

// Order answers shop.v1.OrderService. Orders live in the memory of the
// instance that took them; a real shop would have a database here.
type Order struct {
	instance   string
	work       time.Duration
	executions *shop.Executions
	prefix     string // of the order ids of this process

	mu     sync.Mutex
	count  int
	orders map[string]*shopv1.Order
	ids    []string // ring of maxOrders ids, the oldest at count % maxOrders
}

var _ shopv1.OrderServiceHandler = (*Order)(nil)

func newOrder(instance string, work time.Duration, executions *shop.Executions) *Order {
	return &Order{
		instance:   instance,
		work:       work,
		executions: executions,
		prefix:     instance + "-" + strconv.FormatInt(time.Now().UnixMilli(), 36) + "-",
		orders:     make(map[string]*shopv1.Order),
	}
}

// Create stores an order. The first thing it does is to note that it runs.
func (o *Order) Create(ctx context.Context, req *shopv1.CreateRequest) (*shopv1.CreateReply, error) {
	if err := o.executions.Record(ctx, req.GetRequestId(), o.instance, time.Now()); err != nil {
		return nil, triple.NewError(triple.CodeInternal, err)
	}
	if err := o.doWork(ctx); err != nil {
		return nil, err
	}
	return &shopv1.CreateReply{Order: o.store(&shopv1.Order{
		RequestId:  req.GetRequestId(),
		UserId:     req.GetUserId(),
		Membership: req.GetMembership(),
		Items:      req.GetItems(),
		TotalCents: req.GetTotalCents(),
		Instance:   o.instance,
	})}, nil
}

// GetOrder returns an order that this instance stored.
func (o *Order) GetOrder(_ context.Context, req *shopv1.GetOrderRequest) (*shopv1.GetOrderReply, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	order, ok := o.orders[req.GetId()]
	if !ok {
		return nil, triple.NewError(triple.CodeNotFound, fmt.Errorf("order %q is not on instance %s", req.GetId(), o.instance))
	}
	return &shopv1.GetOrderReply{Order: order}, nil
}

// doWork takes the time that storing would take, or until ctx ends.
func (o *Order) doWork(ctx context.Context) error {
	if o.work == 0 {
		return nil
	}
	t := time.NewTimer(o.work)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return triple.NewError(triple.CodeDeadlineExceeded, fmt.Errorf("order: given up by the caller: %w", ctx.Err()))
	}
}

// store gives the order its id and keeps it. A stored order never changes.
func (o *Order) store(order *shopv1.Order) *shopv1.Order {
	o.mu.Lock()
	defer o.mu.Unlock()
	order.Id = o.prefix + strconv.Itoa(o.count)
	if len(o.ids) < maxOrders {
		o.ids = append(o.ids, order.Id)
	} else {
		oldest := &o.ids[o.count%maxOrders]
		delete(o.orders, *oldest)
		*oldest = order.Id
	}
	o.orders[order.Id] = order
	o.count++
	return order
}
