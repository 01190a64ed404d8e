// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"os"
	"sync"
	"testing"
	"time"

	"dubbo.apache.org/dubbo-go/v3"
	_ "dubbo.apache.org/dubbo-go/v3/imports"
	"github.com/dubbogo/gost/log/logger"

	"github.com/graylane/graylane"
	"github.com/graylane/graylane/internal/testkit/ports"
)

// What is tested in dubbo-go are parts of the process: servers live as long as the test.
func TestMain(m *testing.M) {
	c := graylane.Default()
	c.Outlier.BaseEjectionTime, c.Outlier.MaxEjectionTime = time.Hour, time.Hour
	if err := graylane.Configure(c); err != nil {
		panic(err)
	}
	logger.SetLoggerLevel("error")
	os.Exit(m.Run())
}

var kinds = []kind{{"tri", "idl"}, {"tri", "plain"}, {"dubbo", "idl"}, {"dubbo", "plain"}}

// kind is a protocol and how the service is described: "idl" by a ServiceInfo as
// generated code has it, "plain" by reflection.
type kind struct{ protocol, how string }

func (k kind) String() string { return k.protocol + "-" + k.how }

var instance = sync.OnceValues(func() (*dubbo.Instance, error) {
	ins, err := dubbo.NewInstance(dubbo.WithName("shop"), dubbo.WithMetadataServicePort(ports.Free()))
	said.Logger = logger.GetLogger()
	logger.SetLogger(&said)
	return ins, err
})

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
