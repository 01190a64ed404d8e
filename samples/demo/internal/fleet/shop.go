// SPDX-License-Identifier: Apache-2.0

package fleet

import (
	"fmt"
	"path/filepath"
	"time"
)

// work is how long an order takes to store in the demo: enough that some calls
// are in flight whenever an instance is killed.
const work = 20 * time.Millisecond

// command returns how the program of an instance is called: its arguments and
// what is added to its environment. It also notes where its table will be.
func command(i *Instance, cfg Config, dir, conf string) (args, env []string) {
	args = []string{"-conf", conf}
	switch i.Slot.App {
	case "order":
		i.Database = filepath.Join(dir, "executions.db")
		args = append(args, "-instance", i.Label, "-work", work.String())
		env = append(env, "SHOP_DB="+i.Database)
	case "gateway":
		args = append(args, "-gateway", filepath.Join(cfg.Root, "samples", "gateway", "conf", "gateway.yml"), "-http", i.Slot.httpAddress())
	}
	return args, env
}

func (s *Slot) httpAddress() string { return fmt.Sprintf("127.0.0.1:%d", s.http) }

// URL returns the gateway's address for browsers.
func (s *Slot) URL() string { return "http://" + s.httpAddress() }

// readyURL answers 200 when the instance is ready: the gateway's own health page,
// else dubbo-go's readiness, true once the instance is registered: on an address of
// the shop's own, for dubbo-go's probe server (plain) listens on all of them.
func (s *Slot) readyURL() string {
	if s.App == "gateway" {
		return s.URL() + "/healthz"
	}
	return fmt.Sprintf("http://127.0.0.1:%d/ready", s.probe)
}
