package deps

import (
	_ "dubbo.apache.org/dubbo-go/v3"
	_ "dubbo.apache.org/dubbo-go/v3/imports"
	_ "github.com/HdrHistogram/hdrhistogram-go"
	_ "github.com/dubbogo/gost/log/logger"
	_ "github.com/go-chi/chi/v5"
	_ "github.com/go-viper/mapstructure/v2"
	_ "github.com/guptarohit/asciigraph"
	_ "github.com/nacos-group/nacos-sdk-go/v2/clients"
	_ "github.com/olekukonko/tablewriter"
	_ "github.com/schollz/progressbar/v3"
	_ "github.com/spf13/cobra"
	_ "go.etcd.io/etcd/client/v3"
	_ "go.etcd.io/etcd/server/v3/embed"
	_ "go.opentelemetry.io/otel"
	_ "go.uber.org/goleak"
	_ "golang.org/x/sync/errgroup"
	_ "golang.org/x/time/rate"
	_ "gopkg.in/yaml.v3"
	_ "modernc.org/sqlite"
)
