// SPDX-License-Identifier: Apache-2.0

// Command order is the shop's order service: it stores orders, and notes every
// start of its handler in an append-only file.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/graylane/graylane/samples/internal/shop"
	"github.com/graylane/graylane/samples/internal/shop/dubbo"
	"github.com/graylane/graylane/samples/internal/shop/shopv1"
)

func main() {
	conf := flag.String("conf", "", "dubbogo.yml to run with (default samples/order/conf/dubbogo.yml)")
	instance := flag.String("instance", os.Getenv("SHOP_INSTANCE"), "name in executions and answers, or env SHOP_INSTANCE (default <application>-<port>)")
	work := flag.String("work", cmp.Or(os.Getenv("SHOP_WORK"), "0s"), "time that storing an order takes, such as 5ms, or env SHOP_WORK")
	flag.Parse()
	shop.Exit("order", run(shop.ConfPath("order", "dubbogo.yml", *conf), *instance, *work))
}

func run(conf, instance, work string) error {
	settings, err := shop.ReadSettings(conf)
	if err != nil {
		return err
	}
	delay, err := time.ParseDuration(work)
	if err != nil || delay < 0 {
		return fmt.Errorf("work: got %q, want a duration of 0s or more", work)
	}
	instance = cmp.Or(instance, settings.App+"-"+settings.Port)
	path := cmp.Or(os.Getenv("SHOP_DB"), filepath.Join(os.TempDir(), fmt.Sprintf("shop-%s-%d.db", instance, os.Getpid())))
	executions, err := shop.OpenExecutions(context.Background(), path)
	if err != nil {
		return err
	}
	fmt.Printf("order: instance %s, executions in %s\n", instance, path)

	shopv1.SetOrderServiceProvider(newOrder(instance, delay, executions))
	stopped, err := dubbo.Load(conf)
	if err != nil {
		return errors.Join(err, executions.Close())
	}
	<-stopped
	return executions.Close()
}
